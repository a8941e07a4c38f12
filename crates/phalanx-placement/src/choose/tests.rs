//! Choices against a naive model, and what is said of them.

use std::collections::BTreeMap;

use phalanx_base::{Labels, NodeStatus};
use proptest::prelude::*;

use super::*;
use crate::{Metric, Metrics, Selector};

/// A worker that a view can borrow from.
#[derive(Debug, Clone)]
struct Worker {
    node: NodeId,
    labels: Labels,
    status: NodeStatus,
    classes: Vec<Class>,
    metrics: Metrics,
    tasks: u32,
    tasks_of_job: u32,
}

impl Worker {
    fn new(name: &str, labels: &str) -> Self {
        Self {
            node: NodeId::new(name).unwrap(),
            labels: labels.parse().unwrap(),
            status: NodeStatus::Ready,
            classes: Vec::new(),
            metrics: Metrics::default(),
            tasks: 0,
            tasks_of_job: 0,
        }
    }

    fn used(self, used: f64) -> Self {
        let metrics = Metrics { cpu: Some(used), ..self.metrics };
        Self { metrics, ..self }
    }

    fn status(self, status: NodeStatus) -> Self {
        Self { status, ..self }
    }

    fn view(&self) -> WorkerView<'_> {
        WorkerView {
            classes: &self.classes,
            metrics: self.metrics,
            tasks: self.tasks,
            tasks_of_job: self.tasks_of_job,
            ..WorkerView::new(&self.node, &self.labels, self.status)
        }
    }
}

fn views(workers: &[Worker]) -> impl Iterator<Item = WorkerView<'_>> + Clone {
    workers.iter().map(Worker::view)
}

fn names(choice: &Choice<'_>) -> Vec<String> {
    choice.ranked().iter().map(|ranked| ranked.node.to_string()).collect()
}

fn chosen(preferences: &Preferences, workers: &[Worker], seed: u64) -> Vec<String> {
    names(&choose(&Requirements::default(), preferences, views(workers), seed).unwrap())
}

fn needs(selector: &str) -> Requirements {
    Requirements { selector: selector.parse().unwrap(), ..Requirements::default() }
}

fn class(version: u32) -> Class {
    Class { name: "resize".into(), version }
}

#[test]
fn each_ranking_has_its_order() {
    let workers = [("a", 0.5), ("b", 0.1), ("c", 0.9)].map(|(name, used)| Worker::new(name, "").used(used));
    let cpu = Metric::Cpu;
    assert_eq!(chosen(&Preferences::new(Ranking::LeastLoaded(cpu)), &workers, 1), ["b", "a", "c"]);
    assert_eq!(chosen(&Preferences::new(Ranking::Pack(cpu)), &workers, 1), ["c", "a", "b"]);
    assert_eq!(chosen(&Preferences::default(), &workers, 1), ["b", "a", "c"]);
    // Who reports nothing counts as half full, and nonsense as nothing.
    let workers = [Worker::new("a", "").used(0.6), Worker::new("b", "").used(f64::NAN)];
    assert_eq!(chosen(&Preferences::default(), &workers, 1), ["b", "a"]);

    let mut requirements = Requirements::default();
    requirements.used_max_percent.insert(cpu, 80);
    let packed = [0.5, 0.8, 0.801].map(|used| Worker::new(&format!("w{used}"), "").used(used));
    let preferences = Preferences::new(Ranking::Pack(cpu));
    let choice = choose(&requirements, &preferences, views(&packed), 1).unwrap();
    assert_eq!(names(&choice), ["w0.8", "w0.5"]);
    // What is written as seven hundredths is not over seven percent.
    requirements.used_max_percent.insert(cpu, 7);
    assert!(choose(&requirements, &preferences, views(&[Worker::new("w", "").used(0.07)]), 1).is_ok());
}

#[test]
fn lots_fall_by_the_free_share() {
    let workers = [0.1, 0.7, 0.9, 1.0].map(|used| Worker::new(&format!("w{used}"), "").used(used));
    let wins = |ranking| {
        let mut wins = BTreeMap::<String, u32>::new();
        for seed in 0..11_000 {
            let ranked = chosen(&Preferences::new(ranking), &workers, seed);
            *wins.entry(ranked[0].clone()).or_default() += 1;
        }
        wins.into_iter().collect::<Vec<_>>()
    };
    // Nine parts, three, one and none, of thirteen; five standard deviations are 260 and 220 and 140.
    let weighted = wins(Ranking::Weighted(Metric::Cpu));
    assert_eq!(weighted.len(), 3, "{weighted:?}");
    for ((_, wins), (fair, tolerance)) in weighted.iter().zip([(7615, 260), (2538, 220), (846, 140)]) {
        assert!(wins.abs_diff(fair) < tolerance, "{weighted:?}");
    }
    let random = wins(Ranking::Random);
    assert!(random.len() == 4 && random.iter().all(|(_, wins)| wins.abs_diff(2750) < 230), "{random:?}");
}

#[test]
fn equal_workers_share_the_choices() {
    let workers: Vec<Worker> = (0..50).map(|number| Worker::new(&format!("w{number}"), "")).collect();
    let mut wins = BTreeMap::<String, u32>::new();
    for seed in 0..5_000 {
        *wins.entry(chosen(&Preferences::default(), &workers, seed)[0].clone()).or_default() += 1;
    }
    assert!(wins.len() == 50 && wins.values().all(|wins| (50..=150).contains(wins)), "{wins:?}");
}

#[test]
fn affinities_weigh_against_load() {
    let workers = [Worker::new("near", "n;zone=a").used(0.6), Worker::new("idle", "n;zone=b").used(0.0)];
    let prefer = |weight| Preferences::default().prefer("zone=a".parse().unwrap(), weight).unwrap();
    assert_eq!(chosen(&prefer(50), &workers, 1), ["idle", "near"]);
    assert_eq!(chosen(&prefer(70), &workers, 1), ["near", "idle"]);
    let avoid = Preferences::new(Ranking::Pack(Metric::Cpu)).prefer("zone=a".parse().unwrap(), -100).unwrap();
    assert_eq!(chosen(&avoid, &workers, 1), ["idle", "near"]);
    assert_eq!(prefer(i16::MAX).affinities()[0].weight_percent, Preferences::WEIGHT_PERCENT_MAX);
}

#[test]
fn a_job_spreads_over_zones_whatever_their_size_and_load() {
    let mut workers = vec![Worker::new("a1", "n;zone=a").used(0.9)];
    workers.extend((0..3).map(|number| Worker::new(&format!("b{number}"), "n;zone=b").used(0.1)));
    workers.extend((0..6).map(|number| Worker::new(&format!("x{number}"), "")));
    let spread = |max| Preferences::default().spread_over("n;zone".parse().unwrap(), max).unwrap();
    for seed in 0..9 {
        let best = chosen(&spread(None), &workers, seed)[0].clone();
        let worker = workers.iter_mut().find(|worker| worker.node.as_str() == best).unwrap();
        worker.tasks_of_job += 1;
    }
    let tasks = |zone: &str| -> u32 {
        let here = workers.iter().filter(|worker| worker.node.as_str().starts_with(zone));
        here.map(|worker| worker.tasks_of_job).sum()
    };
    assert_eq!([tasks("a"), tasks("b"), tasks("x")], [3, 3, 3]);

    // The cap counts what runs on workers that cannot be chosen, too.
    let two = [Worker::new("a1", "n;zone=a").status(NodeStatus::NotConnected), Worker::new("a2", "n;zone=a")];
    let two = two.map(|worker| Worker { tasks_of_job: 1, ..worker });
    let (open, preferences) = (Requirements::default(), spread(Some(2)));
    let refused = choose(&open, &preferences, views(&two), 1).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "of 2 workers: 1 is not ready, 1 is where 2 tasks of the job run by n;zone"
    );
    assert!(refused.may_pass());
    assert_eq!(chosen(&spread(Some(3)), &two, 1), ["a2"]);
}

#[test]
fn what_can_never_be_placed_says_why_at_once() {
    let mut workers: Vec<Worker> = (0..12).map(|number| Worker::new(&format!("w{number}"), "gpu")).collect();
    for (number, worker) in workers.iter_mut().enumerate() {
        match number {
            0..7 => worker.labels = Labels::default(),
            _ => worker.status = NodeStatus::Standby,
        }
    }
    // Not ready either, but that would not help.
    workers[0].status = NodeStatus::Launching;
    let preferences = Preferences::default();
    let (gpu, impossible) = (needs("gpu"), needs("spot && gpu"));
    let refused = choose(&gpu, &preferences, views(&workers), 1).unwrap_err();
    assert_eq!(refused.to_string(), "of 12 workers: 7 lack gpu, 5 are not ready");
    assert!(refused.may_pass());
    let refused = choose(&impossible, &preferences, views(&workers), 1).unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.may_pass()), ("of 12 workers: 12 lack spot", false));
    assert_eq!(refused.causes()[0].condition, Condition::Clause(impossible.selector.clauses()[0].clone()));
    let refused = choose(&gpu, &preferences, views(&workers[11..]), 1).unwrap_err();
    assert_eq!(refused.to_string(), "of 1 worker: 1 is not ready");
    let refused = choose(&gpu, &preferences, views(&[]), 1).unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.may_pass()), ("there is no worker", false));
}

#[test]
fn an_explanation_names_every_reason_and_every_part() {
    let mut workers = [
        Worker::new("bad", "node;zone=c").status(NodeStatus::Standby).used(0.953),
        Worker::new("good", "gpu,node;zone=a").used(0.25),
        Worker::new("old", "gpu,spot,node;zone=b").used(0.3),
        Worker::new("out", "gpu,node;zone=b"),
    ];
    workers[0].tasks = 4;
    workers[1].classes = vec![class(1), class(2)];
    workers[1].tasks_of_job = 1;
    workers[2].classes = vec![class(1)];
    workers[3].classes = vec![class(2)];
    let mut requirements = needs("gpu && zone in (a, b) && !spot");
    requirements.class = Some(class(2));
    requirements.tasks_max = Some(4);
    requirements.used_max_percent = [(Metric::Cpu, 90), (Metric::Disk, 90)].into();
    requirements.excluded.insert(workers[3].node.clone());
    let preferences = Preferences::default().prefer("zone=a".parse().unwrap(), 20).unwrap();
    let preferences = preferences.spread_over("zone".parse().unwrap(), Some(8)).unwrap();
    assert_eq!(
        explain(&requirements, &preferences, views(&workers), 7).to_string(),
        "chosen: good\n\
         bad lacks class resize version 2, lacks gpu, does not match zone in (a, b), is standby, runs 4 tasks, may \
         run 4, is 95.3 % full by cpu, may be 90 %\n\
         good fits, 0.950: free mix 0.750, +0.20 for zone=a, 1 task of the job by zone\n\
         old has version 1 of class resize, not 2, has spot\n\
         out is excluded"
    );
    let nobody = explain(&requirements, &preferences, views(&workers[..1]), 7).to_string();
    assert!(
        nobody.starts_with("not placeable: of 1 worker: 1 lacks class resize version 2\nbad lacks"),
        "{nobody}"
    );
}

#[test]
fn preferences_have_caps() {
    let full = (0..Preferences::AFFINITIES_MAX)
        .fold(Preferences::default(), |preferences, _| preferences.prefer(Selector::default(), 1).unwrap());
    assert_eq!(full.prefer(Selector::default(), 1), Err(PreferencesError::TooManyAffinities));
    let zone = || "zone".parse().unwrap();
    let full = (0..Preferences::SPREADS_MAX)
        .fold(Preferences::default(), |preferences, _| preferences.spread_over(zone(), None).unwrap());
    assert_eq!(full.spread_over(zone(), None), Err(PreferencesError::TooManySpreads));
    assert_eq!(Preferences::default().ranked(0).ranked_max(), 1);
    assert_eq!(Preferences::default().ranked(usize::MAX).ranked_max(), Preferences::RANKED_MAX);
}

fn any_worker() -> impl Strategy<Value = Worker> {
    let status =
        prop::sample::select([NodeStatus::Ready, NodeStatus::Standby, NodeStatus::Stopped].as_slice());
    let status = prop_oneof![3 => Just(NodeStatus::Ready), 1 => status];
    let labels =
        prop::sample::select(["", "gpu", "n;zone=a", "gpu,n;zone=a", "gpu,n;zone=b", "n;zone=b"].as_slice());
    // Few values, so that there are ties.
    let used = prop_oneof![Just(None), (0..5_u8).prop_map(|quarters| Some(f64::from(quarters) / 4.0))];
    (labels, status, used, 0..4_u32, 0..3_u32, prop::collection::vec(0..3_u32, 0..2)).prop_map(
        |(labels, status, cpu, tasks, tasks_of_job, versions)| Worker {
            status,
            metrics: Metrics { cpu, ..Metrics::default() },
            tasks,
            tasks_of_job,
            classes: versions.into_iter().map(class).collect(),
            ..Worker::new("w", labels)
        },
    )
}

fn any_workers() -> impl Strategy<Value = Vec<Worker>> {
    prop::collection::vec(any_worker(), 0..40).prop_map(|mut workers| {
        for (number, worker) in workers.iter_mut().enumerate() {
            worker.node = NodeId::new(&format!("w{number:02}")).unwrap();
        }
        workers
    })
}

fn any_requirements() -> impl Strategy<Value = Requirements> {
    let selector = prop::sample::select(["", "gpu", "!gpu", "zone in (a, b)", "gpu && zone != b"].as_slice());
    let purpose = prop::sample::select([Purpose::Task, Purpose::Request].as_slice());
    let limits = prop::collection::btree_map(Just(Metric::Cpu), 0..=100_u8, 0..2);
    let excluded = prop::collection::btree_set(0..40_u8, 0..3);
    let class = prop::option::weighted(0.3, (0..3_u32).prop_map(class));
    (selector, purpose, limits, excluded, class, prop::option::of(1..4_u32)).prop_map(
        |(selector, purpose, used_max_percent, excluded, class, tasks_max)| Requirements {
            purpose,
            class,
            excluded: excluded.iter().map(|number| NodeId::new(&format!("w{number:02}")).unwrap()).collect(),
            tasks_max,
            used_max_percent,
            ..needs(selector)
        },
    )
}

fn any_preferences() -> impl Strategy<Value = Preferences> {
    let ranking = prop::sample::select(
        [
            Ranking::LeastLoaded(Metric::Cpu),
            Ranking::Pack(Metric::Mix),
            Ranking::Weighted(Metric::Cpu),
            Ranking::Random,
        ]
        .as_slice(),
    );
    let affinity = prop::option::of((prop::sample::select(["gpu", "zone=a"].as_slice()), -150..150_i16));
    let spread = prop::option::of(prop::option::of(0..12_u32));
    (ranking, affinity, spread, 1..6_usize).prop_map(|(ranking, affinity, spread, count)| {
        let mut preferences = Preferences::new(ranking).ranked(count);
        if let Some((selector, weight)) = affinity {
            preferences = preferences.prefer(selector.parse().unwrap(), weight).unwrap();
        }
        if let Some(max) = spread {
            preferences = preferences.spread_over("zone".parse().unwrap(), max).unwrap();
        }
        preferences
    })
}

/// Tasks of the job in the zone of a worker, counted the slow way.
fn crowd(workers: &[Worker], worker: &Worker) -> u32 {
    let zone =
        |worker: &Worker| worker.labels.item("n").and_then(|item| item.value("zone").map(str::to_owned));
    workers.iter().filter(|other| zone(other) == zone(worker)).map(|other| other.tasks_of_job).sum()
}

/// Whether a worker meets everything, said without the code under test.
fn will_do(
    requirements: &Requirements,
    preferences: &Preferences,
    workers: &[Worker],
    worker: &Worker,
) -> bool {
    let status = match requirements.purpose {
        Purpose::Task => worker.status == NodeStatus::Ready,
        Purpose::Request => true,
    };
    let used = |max: &u8| worker.metrics.cpu.is_none_or(|used| used <= f64::from(*max) / 100.0);
    status
        && requirements.selector.matches(&worker.labels)
        && requirements.class.as_ref().is_none_or(|class| worker.classes.contains(class))
        && !requirements.excluded.contains(&worker.node)
        && requirements.tasks_max.is_none_or(|max| worker.tasks < max)
        && requirements.used_max_percent.get(&Metric::Cpu).is_none_or(used)
        && preferences
            .spreads()
            .iter()
            .all(|spread| spread.tasks_max.is_none_or(|max| crowd(workers, worker) < max))
}

proptest! {
    #[test]
    fn a_choice_is_the_best_of_those_that_will_do(
        workers in any_workers(), requirements in any_requirements(), preferences in any_preferences(), seed: u64
    ) {
        let mut fit: Vec<&Worker> = workers
            .iter()
            .filter(|worker| will_do(&requirements, &preferences, &workers, worker))
            .collect();
        let choice = match choose(&requirements, &preferences, views(&workers), seed) {
            Ok(choice) => choice,
            Err(never) => {
                prop_assert!(fit.is_empty(), "{} but {:?}", never, fit);
                prop_assert_eq!(never.causes().iter().map(|cause| cause.workers).sum::<usize>(), workers.len());
                prop_assert_eq!(never.workers(), workers.len());
                return Ok(());
            }
        };
        prop_assert_eq!(choice.ranked().len(), fit.len().min(preferences.ranked_max()));
        if let Ranking::LeastLoaded(_) | Ranking::Pack(_) = preferences.ranking() {
            let is_spread = !preferences.spreads().is_empty();
            let value = |worker: &Worker| {
                let free = 1.0 - worker.metrics.cpu.unwrap_or(0.5);
                let is_pack = matches!(preferences.ranking(), Ranking::Pack(_));
                let liked = preferences.affinities().iter().filter(|affinity| affinity.selector.matches(&worker.labels));
                let liked: f64 = liked.map(|affinity| f64::from(affinity.weight_percent) / 100.0).sum();
                (if is_spread { crowd(&workers, worker) } else { 0 }, -(if is_pack { 1.0 - free } else { free } + liked))
            };
            fit.sort_by(|a, b| value(a).partial_cmp(&value(b)).unwrap());
            for (ranked, best) in choice.ranked().iter().zip(fit) {
                let worker = workers.iter().find(|worker| worker.node == ranked.node).unwrap();
                prop_assert_eq!(value(worker), value(best));
                prop_assert_eq!(-ranked.score.total(), value(worker).1);
            }
        }
    }

    #[test]
    fn the_order_of_the_workers_decides_nothing_and_what_is_explained_is_what_is_chosen(
        workers in any_workers(), requirements in any_requirements(), preferences in any_preferences(), seed: u64
    ) {
        let one = choose(&requirements, &preferences, views(&workers), seed);
        let reversed: Vec<Worker> = workers.iter().rev().cloned().collect();
        let other = choose(&requirements, &preferences, views(&reversed), seed);
        let explained = explain(&requirements, &preferences, views(&workers), seed);
        let text = |choice: &Result<Choice<'_>, NeverPlaceable>| format!("{choice:?}");
        prop_assert_eq!(text(&one), text(&other));
        prop_assert_eq!(text(&one), text(&explained.decision));
        prop_assert_eq!(explained.verdicts.len(), workers.len());
        for ((_, verdict), worker) in explained.verdicts.iter().zip(&workers) {
            let is_refused = matches!(verdict, Verdict::Refused(reasons) if !reasons.is_empty());
            prop_assert_eq!(is_refused, !will_do(&requirements, &preferences, &workers, worker));
        }
        if let Err(never) = &one {
            // The more general reasons come first, so whoever waits waits for a reason.
            let lasting = |refusal: &Refusal<'_>| refusal.condition().is_lasting();
            let may_pass = explained.verdicts.iter().any(|(_, verdict)| match verdict {
                Verdict::Refused(refusals) => !refusals.iter().any(lasting),
                Verdict::Fits(_) => true,
            });
            prop_assert_eq!(never.may_pass(), may_pass);
        }
    }
}
