//! Whatever happens, in whatever order: what must always hold, and that in the end there are as many as were asked for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Outcome, World, id, seconds, spec};
use phalanx_base::{NodeId, NodeStatus};
use phalanx_supervision::{Count, EndKind, LostPolicy, RestartPolicy, RestartWhen, UpdatePolicy};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug, Clone, Copy)]
enum Step {
    Come(usize),
    Lose(usize),
    Back(usize),
    Reboot(usize),
    Remove(usize),
    Status(usize, NodeStatus),
    Fit(usize, bool),
    End(usize, EndKind),
    /// A task ends at a worker that nobody hears.
    EndUnheard(usize),
    NextStart(Outcome),
    Scale(u32),
    Version(u8),
    Stopped(bool),
    MayReplace(bool),
    Listings(bool),
    Stops(bool),
    Records(bool),
    TakeOver,
    Rival,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let status = prop_oneof![
        3 => Just(NodeStatus::Ready),
        1 => Just(NodeStatus::Standby),
        1 => Just(NodeStatus::Stopping),
    ];
    let kind = prop_oneof![
        1 => Just(EndKind::Succeeded),
        3 => Just(EndKind::Failed),
        1 => Just(EndKind::Killed),
        1 => Just(EndKind::Lost)
    ];
    let outcome = prop_oneof![
        Just(Outcome::Runs),
        Just(Outcome::Refused),
        Just(Outcome::RunsUnheard),
        Just(Outcome::Vanishes)
    ];
    prop_oneof![
        2 => name().prop_map(Step::Come),
        3 => name().prop_map(Step::Lose),
        3 => name().prop_map(Step::Back),
        2 => name().prop_map(Step::Reboot),
        1 => name().prop_map(Step::Remove),
        2 => (name(), status).prop_map(|(name, status)| Step::Status(name, status)),
        2 => (name(), any::<bool>()).prop_map(|(name, is_fit)| Step::Fit(name, is_fit)),
        4 => (0..8_usize, kind).prop_map(|(task, kind)| Step::End(task, kind)),
        1 => (0..8_usize).prop_map(Step::EndUnheard),
        4 => outcome.prop_map(Step::NextStart),
        2 => (0..6_u32).prop_map(Step::Scale),
        2 => (0..4_u8).prop_map(Step::Version),
        1 => any::<bool>().prop_map(Step::Stopped),
        2 => any::<bool>().prop_map(Step::MayReplace),
        1 => any::<bool>().prop_map(Step::Listings),
        1 => any::<bool>().prop_map(Step::Stops),
        2 => any::<bool>().prop_map(Step::Records),
        2 => Just(Step::TakeOver),
        2 => Just(Step::Rival),
        6 => (0..40_u64).prop_map(Step::Advance),
    ]
}

fn policies() -> impl Strategy<Value = (LostPolicy, UpdatePolicy, RestartPolicy)> {
    let lost = prop_oneof![
        Just(LostPolicy::Keep),
        Just(LostPolicy::StopAfter(seconds(10))),
        Just(LostPolicy::Replace { lost_after: seconds(5) }),
        Just(LostPolicy::Replace { lost_after: Duration::ZERO }),
    ];
    (lost, 1..3_u32).prop_map(|(lost, max_parallel)| {
        let update = UpdatePolicy { max_parallel, healthy_after: seconds(3), progress_deadline: seconds(60) };
        let restart = RestartPolicy {
            when: RestartWhen::Always,
            pause_max: seconds(20),
            window: seconds(120),
            ..RestartPolicy::default()
        };
        (lost, update, restart)
    })
}

fn apply(world: &mut World, step: Step) {
    let known = |world: &World, name: usize| world.workers.contains_key(&id(NAMES[name]));
    match step {
        Step::Come(name) => world.come(NAMES[name]),
        Step::Lose(name) if known(world, name) => world.lose(NAMES[name]),
        Step::Back(name) if known(world, name) => world.back(NAMES[name]),
        Step::Reboot(name) if known(world, name) => world.reboot(NAMES[name]),
        Step::Remove(name) if known(world, name) => world.remove(NAMES[name]),
        Step::Status(name, status) if known(world, name) => {
            world.worker(NAMES[name]).status = status;
            world.report(&id(NAMES[name]));
        }
        Step::Fit(name, is_fit) if known(world, name) => {
            world.worker(NAMES[name]).labels = if is_fit { "fit".into() } else { String::new() };
            world.report(&id(NAMES[name]));
        }
        Step::End(place, kind) => {
            if let Some((tag, node)) = world.running(true).get(place).cloned() {
                world.end(&tag, &node, kind);
            }
        }
        Step::EndUnheard(place) => {
            let lost = world.running(false).into_iter().filter(|(_, node)| !world.workers[node].is_connected);
            if let Some((tag, node)) = lost.collect::<Vec<_>>().get(place).cloned() {
                world.end(&tag, &node, EndKind::Succeeded);
            }
        }
        Step::NextStart(outcome) => world.outcomes.push_back(outcome),
        Step::Scale(count) if matches!(world.spec.count, Count::Exactly(_)) => {
            world.change(|spec| spec.count = Count::Exactly(count));
        }
        Step::Version(body) => world.change(|spec| spec.body = Bytes::from(vec![body])),
        Step::Stopped(stopped) => world.change(|spec| spec.stopped = stopped),
        Step::MayReplace(may_replace) => world.set_may_replace(may_replace),
        Step::Listings(answers) => world.set_answers_listings(answers),
        Step::Stops(obeys) => world.set_obeys_stops(obeys),
        Step::Records(holds) => world.set_holds_records(holds),
        Step::TakeOver => world.take_over(),
        Step::Rival => world.rival(),
        Step::Advance(time) => world.advance(seconds(time)),
        _ => {}
    }
}

/// Everything works again, and the user asks for a version that works.
fn mend(world: &mut World) {
    world.outcomes.clear();
    world.set_answers_listings(true);
    world.set_holds_records(false);
    world.set_obeys_stops(true);
    world.set_may_replace(true);
    for name in NAMES {
        world.come(name);
        let worker = world.worker(name);
        (worker.status, worker.labels, worker.is_connected) = (NodeStatus::Ready, "fit".into(), true);
        world.report(&id(name));
    }
    world.change(|spec| (spec.stopped, spec.body) = (false, Bytes::from_static(b"works")));
    world.advance(seconds(300));
}

fn holds(count: Count, policies: (LostPolicy, UpdatePolicy, RestartPolicy), steps: Vec<Step>) {
    let mut job = spec(count);
    (job.on_lost, job.update, job.restart) = policies;
    let mut world = World::new(&NAMES[..3], job);
    for step in steps {
        apply(&mut world, step);
    }
    mend(&mut world);
    let running = world.running(false);
    let wanted = match world.spec.count {
        Count::Exactly(count) => count as usize,
        Count::PerNode => NAMES.len(),
    };
    assert_eq!(running.len(), wanted, "{running:?}\n{:#?}", world.records);
    let version = world.spec.task_version;
    assert!(world.records.values().all(|record| record.task_version == version), "{:#?}", world.records);
    if world.spec.count == Count::PerNode {
        let nodes: Vec<NodeId> = running.into_iter().map(|(_, node)| node).collect();
        assert_eq!(nodes, NAMES.map(id));
    }
    // And then it is quiet.
    world.advance(seconds(100));
    let (actions, events) = (world.actions, world.events.len());
    world.advance(seconds(1_000));
    assert_eq!((world.actions, world.events.len()), (actions, events), "{:?}", world.events.last());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn so_many_as_were_asked_for(
        count in 0..5_u32, policies in policies(), steps in prop::collection::vec(step(), 0..60)
    ) {
        holds(Count::Exactly(count), policies, steps);
    }

    #[test]
    fn one_on_each_node(policies in policies(), steps in prop::collection::vec(step(), 0..60)) {
        holds(Count::PerNode, policies, steps);
    }
}
