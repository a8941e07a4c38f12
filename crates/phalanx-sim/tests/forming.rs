//! Clusters that form by themselves, whatever discovery says: part of the truth, late, in any order, or nothing; with all
//! nodes started at once, or in two groups that know nothing of each other for half a minute.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::{
    Candidate, Candidates, ClusterEvent, Discover, DiscoverContext, DiscoverError, Formation, Liveness,
    MemberEvent, NodeId, NodeStatus,
};
use phalanx_sim as sim;
use phalanx_sim::{Cluster, Effect, Fault, Sim};
use tokio::time::{Instant, sleep};

/// How many control nodes there are.
const CONTROLS: usize = 5;

/// The last node of the first group.
const FIRST_GROUP: usize = 3;

/// How long the second group comes after the first, or knows nothing of it.
const APART: Duration = Duration::from_secs(30);

/// How soon after the two groups have met there is one cluster.
const ONE_CLUSTER_WITHIN: Duration = Duration::from_secs(30);

/// How soon every worker has an owner: one in three of its look-ups tells it of somebody, and failures make it ask less often.
const WORKERS_WITHIN: Duration = Duration::from_secs(300);

/// How a race is run, from its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Race {
    /// All nodes start at once.
    AtOnce,
    /// The second group starts later.
    OneGroupLater,
    /// All start at once, and discovery tells each group of itself only for a while.
    TwoGroups,
}

impl Race {
    fn of(seed: u64) -> Self {
        [Self::AtOnce, Self::OneGroupLater, Self::TwoGroups][(seed % 3) as usize]
    }

    /// How many control nodes each of them waits for: every other race begins to serve with one.
    fn expected(seed: u64) -> usize {
        if (seed / 3).is_multiple_of(2) { CONTROLS } else { 1 }
    }
}

/// Whether a control node was told of one of the other group.
#[derive(Clone, Default)]
struct Meeting(Arc<Mutex<bool>>);

/// Discovery that answers with a part of what there is, late, in any order, or not at all.
struct Rumours {
    /// Of a control node.
    group: Option<usize>,
    race: Race,
    begin: Instant,
    meeting: Meeting,
}

fn group(number: usize) -> usize {
    usize::from(number > FIRST_GROUP)
}

fn number(node: &str) -> usize {
    node.rsplit('-').next().unwrap().parse().unwrap()
}

impl Discover for Rumours {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let draw = |below: u64| context.entropy.bits64() % below;
        sleep(Duration::from_millis(draw(8_000))).await;
        if draw(4) == 0 {
            return Err(DiscoverError::other("the source is away"));
        }
        let apart = self.race != Race::AtOnce && self.begin.elapsed() < APART;
        let mut told: Vec<usize> =
            (1..=CONTROLS).filter(|number| !apart || group(*number) == self.group.unwrap_or(0)).collect();
        for at in (1..told.len()).rev() {
            told.swap(at, draw(at as u64 + 1) as usize);
        }
        told.truncate(draw(CONTROLS as u64) as usize);
        if self.group.is_some_and(|own| told.iter().any(|number| group(*number) != own)) {
            *self.meeting.0.lock().unwrap() = true;
        }
        let candidate = |number: usize| {
            let socket = SocketAddr::from(([10, 0, 0, number as u8], 7_000));
            Candidate { address: socket.into(), socket }
        };
        Ok(told.into_iter().map(candidate).collect())
    }
}

/// The cluster of a race. What is told is told by each node's own strategy.
fn race(meetings: &Arc<Mutex<BTreeMap<u64, Meeting>>>) -> Sim {
    let meeting = {
        let meetings = meetings.clone();
        move |seed| meetings.lock().unwrap().entry(seed).or_default().clone()
    };
    let rumours = move |node: &str, seed| Rumours {
        group: node.starts_with("control").then(|| group(number(node))),
        race: Race::of(seed),
        begin: Instant::now()
            - if Race::of(seed) == Race::OneGroupLater { start(node, seed) } else { Duration::ZERO },
        meeting: meeting(seed),
    };
    let of_workers = rumours.clone();
    sim::cluster()
        .controls(CONTROLS)
        .workers(2)
        .strangers()
        .starts(start)
        .control(move |builder, seams| {
            builder.discover(rumours(&seams.name, seams.seed)).expected_controls(Race::expected(seams.seed))
        })
        .worker(move |builder, seams| builder.discover(of_workers(&seams.name, seams.seed)))
}

fn start(node: &str, seed: u64) -> Duration {
    let is_late =
        Race::of(seed) == Race::OneGroupLater && node.starts_with("control") && group(number(node)) == 1;
    if is_late { APART } else { Duration::ZERO }
}

/// How many control nodes each of them sees alive; 0 for one that does not run.
fn seen(cluster: &Cluster) -> Vec<usize> {
    let count = |number| match cluster.control(number) {
        Some(control) => {
            let view = control.cluster().borrow().clone();
            view.members.iter().filter(|member| member.liveness.is_alive()).count()
        }
        None => 0,
    };
    (1..=CONTROLS).map(count).collect()
}

fn run_races(seeds: u64, first: u64) {
    let meetings = Arc::default();
    race(&meetings).seeds(seeds).first_seed(first).run(|cluster| {
        let meetings = meetings.clone();
        async move {
            // Who knows nobody has met nobody.
            let told = || meetings.lock().unwrap().values().any(|meeting| *meeting.0.lock().unwrap());
            let met = || told() && seen(&cluster).iter().all(|seen| *seen > 1);
            cluster.wait_for("the groups meet", Duration::from_secs(180), met).await;
            let one = || seen(&cluster).iter().all(|seen| *seen == CONTROLS);
            cluster.wait_for("one cluster", ONE_CLUSTER_WITHIN, one).await;
            let formed = || {
                (1..=CONTROLS).all(|n| cluster.control(n).is_some_and(|c| c.formation().borrow().is_formed()))
            };
            cluster.wait_for("everybody serves", Duration::from_secs(5), formed).await;
            let ready =
                || (1..=2).all(|n| cluster.worker(n).is_some_and(|w| w.status() == NodeStatus::Ready));
            cluster.wait_for("every worker has an owner", WORKERS_WITHIN, ready).await;
            cluster.formed().await;
            meetings.lock().unwrap().clear();
        }
    });
}

#[test]
fn nodes_that_start_together_or_apart_become_one_cluster() {
    run_races(12, 1);
}

#[test]
#[ignore = "a hundred races take minutes: run it with --release"]
fn a_hundred_races_end_in_one_cluster() {
    run_races(100, 1);
}

fn crash(node: &str) -> Fault {
    Fault::Crash { node: node.to_owned(), silent: false, wipe: false }
}

/// A cluster of three that waits for all of them, of which the last one comes late or never.
fn three(last_comes_after: Option<Duration>) -> Sim {
    sim::cluster()
        .controls(3)
        .workers(1)
        .starts(move |node, _| match (node, last_comes_after) {
            ("control-3", Some(after)) => after,
            ("control-3", None) => Duration::from_secs(3_600),
            _ => Duration::ZERO,
        })
        .control(|builder, _| builder.form_deadline(Duration::from_secs(20)))
}

#[test]
fn a_cluster_waits_for_whom_it_expects_says_so_and_gives_up() {
    three(None).run(|cluster| async move {
        let (one, two) = (cluster.control(1).unwrap(), cluster.control(2).unwrap());
        let seen = |formation: &Formation| match formation {
            Formation::Forming { seen, .. } | Formation::GaveUp { seen, .. } => *seen,
            Formation::Formed => 0,
        };
        let both = || seen(&one.formation().borrow()) == 2 && seen(&two.formation().borrow()) == 2;
        cluster.wait_for("both say that two of three are here", Duration::from_secs(10), both).await;
        assert!(one.formation().borrow().to_string().contains("2 of 3"));
        cluster.sleep(Duration::from_secs(5)).await;
        assert!(one.workers().await.iter().all(|worker| worker.hosted.is_none()), "nobody serves yet");
        let gave_up = || matches!(*two.formation().borrow(), Formation::GaveUp { seen: 2, expected: 3 });
        cluster.wait_for("it gives up", Duration::from_secs(20), gave_up).await;
        // It takes whoever comes after all.
        cluster.during(crash("control-3"), Duration::from_secs(1)).await;
        let formed = || one.formation().borrow().is_formed() && two.formation().borrow().is_formed();
        cluster.wait_for("it forms after all", Duration::from_secs(15), formed).await;
        cluster.formed().await;
    });
}

#[test]
fn a_restart_waits_only_a_little_for_who_does_not_come_back() {
    three(Some(Duration::from_secs(2))).run(|cluster| async move {
        cluster.formed().await;
        for node in ["control-1", "control-2"] {
            cluster.fault(crash(node), Duration::from_secs(5));
        }
        cluster.during(crash("control-3"), Duration::from_secs(60)).await;
        let serves =
            |number: usize| cluster.control(number).is_some_and(|c| c.formation().borrow().is_formed());
        assert!(serves(1) && serves(2), "two that have served before serve without the third");
        cluster.formed().await;
    });
}

/// What a node was told about partitions since it began to listen.
fn partitions(events: &Arc<Mutex<Vec<ClusterEvent>>>) -> (usize, usize) {
    let events = events.lock().unwrap();
    let count = |wanted: MemberEvent| {
        events.iter().filter(|event| **event == ClusterEvent::Member(wanted.clone())).count()
    };
    (count(MemberEvent::PartitionOccurred), count(MemberEvent::PartitionHealed))
}

#[test]
fn partitions_of_all_shapes_heal_again_and_again() {
    sim::cluster().controls(CONTROLS).workers(3).probed().run(|cluster| async move {
        cluster.formed().await;
        let generations: Vec<_> =
            (1..=CONTROLS).map(|n| cluster.control(n).unwrap().boot().clone()).collect();
        let events: Vec<Arc<Mutex<Vec<ClusterEvent>>>> = (1..=CONTROLS).map(|_| Arc::default()).collect();
        for (number, heard) in (1..=CONTROLS).zip(&events) {
            let (mut reader, heard) = (cluster.control(number).unwrap().subscribe(), heard.clone());
            tokio::spawn(async move {
                while let Some(event) = reader.next().await {
                    heard.lock().unwrap().push(event);
                }
            });
        }
        let side = |numbers: &[usize]| -> Vec<String> {
            numbers.iter().map(|number| format!("control-{number}")).collect()
        };
        for round in 0..3 {
            // Two sides, three sides, and one node that one other does not reach.
            for cut in [
                vec![(side(&[1, 2, 3]), side(&[4, 5]))],
                vec![
                    (side(&[1, 2]), side(&[3, 4])),
                    (side(&[1, 2]), side(&[5])),
                    (side(&[3, 4]), side(&[5])),
                ],
                vec![(side(&[1]), side(&[2]))],
            ] {
                for (from, to) in cut {
                    let cut = Fault::Network { effect: Effect::Cut, from, to, both_ways: true };
                    cluster.fault(cut, Duration::from_secs(20));
                }
                cluster.sleep(Duration::from_secs(20)).await;
                let healed = || seen(&cluster).iter().all(|seen| *seen == CONTROLS);
                cluster.wait_for("one view again", Duration::from_secs(30), healed).await;
            }
            let (occurred, healed) = partitions(&events[4]);
            assert!(occurred > round && healed > round, "control-5 was cut off: {occurred} {healed}");
            let larger_side = events[0].lock().unwrap();
            let away = ["control-4", "control-5"].map(|name| NodeId::new(name).unwrap()).to_vec();
            let suspected = ClusterEvent::PartitionSuspected { away };
            let told = larger_side.iter().filter(|event| **event == suspected);
            assert!(told.count() > round, "the larger side tells it too: {larger_side:?}");
            let ended = larger_side.iter().filter(|event| **event == ClusterEvent::PartitionEnded);
            assert!(ended.count() > round, "and its end");
        }
        let now: Vec<_> = (1..=CONTROLS).map(|n| cluster.control(n).unwrap().boot().clone()).collect();
        assert_eq!(generations, now, "nobody was restarted");
        let view = cluster.any_control().cluster().borrow().clone();
        assert!(view.members.iter().all(|member| member.liveness == Liveness::Alive));
    });
}
