//! How long a choice among 100,000 workers takes: `cargo test -p phalanx-placement --test scale -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use phalanx_base::{Labels, NodeId, NodeStatus};
use phalanx_placement::{
    Assignees, Class, Metric, Metrics, Preferences, Ranking, Requirements, WorkerView, choose, explain,
};

const WORKERS: usize = 100_000;

/// What a choice may take: a control node makes some per second and does other work as well. Five times the slowest
/// that was measured in a build for tests, since machines differ.
const CHOICE_MAX: Duration = Duration::from_millis(500);

struct Worker {
    node: NodeId,
    labels: Labels,
    metrics: Metrics,
}

fn workers() -> Vec<Worker> {
    let worker = |number: usize| Worker {
        node: NodeId::new(&format!("worker-{number:06}")).expect("a short name"),
        labels: format!(
            "core;group=group{};model=x{},node;zone=z{};rack=r{},{}",
            number % 7,
            number % 3,
            number % 5,
            number % 400,
            if number.is_multiple_of(4) { "gpu" } else { "plain" }
        )
        .parse()
        .expect("valid labels"),
        metrics: Metrics {
            memory: Some(number as f64 % 97.0 / 97.0),
            cpu: Some(number as f64 % 101.0 / 101.0),
            ..Metrics::default()
        },
    };
    (0..WORKERS).map(worker).collect()
}

#[expect(clippy::disallowed_methods, reason = "this measures the time itself")]
fn timed<T>(what: &str, work: impl Fn() -> T) -> (T, Duration) {
    let mut best = Duration::MAX;
    let mut result = None;
    for _ in 0..5 {
        let begin = Instant::now();
        result = Some(work());
        best = best.min(begin.elapsed());
    }
    println!("{what:<40} {:>8.2} ms", best.as_secs_f64() * 1000.0);
    (result.expect("it ran five times"), best)
}

#[test]
#[ignore = "a measurement"]
fn a_choice_among_a_hundred_thousand_workers_is_quick() {
    let workers = workers();
    let classes = [Class { name: "resize".to_owned(), version: 1 }];
    let views = workers.iter().zip(0..).map(|(worker, number)| WorkerView {
        classes: &classes,
        metrics: worker.metrics,
        tasks_of_job: u32::from(number % 10 == 0),
        ..WorkerView::new(&worker.node, &worker.labels, NodeStatus::Ready)
    });
    let (open, plain) = (Requirements::default(), Preferences::default());
    let (_, all) = timed("all fit, least loaded", || choose(&open, &plain, views.clone(), 1).is_ok());
    let strict = Requirements {
        class: Some(classes[0].clone()),
        selector: "group=group1 && gpu && zone in (z1, z2) && !spot".parse().expect("a selector"),
        used_max_percent: [(Metric::Memory, 90)].into(),
        ..Requirements::default()
    };
    let (_, few) =
        timed("a selector of four terms, class, limit", || choose(&strict, &plain, views.clone(), 1).is_ok());
    let lots = Preferences::new(Ranking::Weighted(Metric::Mix)).ranked(Preferences::RANKED_MAX);
    let lots = lots.prefer("gpu".parse().expect("a selector"), 20).expect("one affinity");
    let (_, lot) = timed("by lot, an affinity, 64 ranked", || choose(&open, &lots, views.clone(), 1).is_ok());
    let spread =
        Preferences::default().spread_over("zone".parse().expect("a label"), None).expect("one spread");
    let spread = spread.spread_over("rack".parse().expect("a label"), None).expect("two spreads");
    let (_, spread) = timed("spread over zone and rack", || choose(&open, &spread, views.clone(), 1).is_ok());
    timed("explained", || explain(&strict, &plain, views.clone(), 1).verdicts.len());
    let (assignees, _) = timed("workers for keys", || Assignees::new(&open, views.clone()));
    let (_, key) = timed("a worker for a key", || assignees.assign(b"device-7").is_some());
    let slowest = [all, few, lot, spread, key].into_iter().max().unwrap_or_default();
    assert!(slowest < CHOICE_MAX, "{slowest:?}");
}
