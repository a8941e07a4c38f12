//! Random lives of one worker and two control nodes: after each step the promises hold, and once faults stop, the worker
//! has one owner and every event has been handled.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{World, command, output, request, start, start_attempt, start_with};
use phalanx_base::{Generation, Role};
use phalanx_jobs::wire::{CallId, CommandStream, OnDisconnect, TaskId, Verb};
use phalanx_jobs::{Config, ProxyCall, TaskEnd};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

const NAMES: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone, Copy)]
enum Action {
    /// Delivers so many frames, each from a lane of its own choice.
    Deliver(Index, usize),
    /// Delivers what one control node said to the other.
    Word(usize),
    LoseWords,
    Connect(usize),
    Cut(Index, bool, bool),
    Crash(usize),
    RestartWorker,
    /// The worker says that it cannot reach one of them.
    OutOfReach(usize),
    /// What one control node, or both, believe of who acts and who is down.
    View(Option<usize>, usize, bool),
    /// So many events of so many bytes.
    Emit(Index, usize, usize),
    End(Index),
    Handle(usize),
    Answer(Index),
    Call(usize, CallKind, Index, u64),
    Repeat(usize, Index),
    Cancel(usize, Index),
    Time(u64),
}

#[derive(Debug, Clone, Copy)]
enum CallKind {
    Request,
    Start,
    StartBound,
    StartAttempt,
    Command,
    Output,
    Stop,
    Kill,
}

fn call_kind() -> impl Strategy<Value = CallKind> {
    prop_oneof![
        4 => Just(CallKind::Request),
        4 => Just(CallKind::Start),
        1 => Just(CallKind::StartBound),
        3 => Just(CallKind::StartAttempt),
        3 => Just(CallKind::Command),
        1 => Just(CallKind::Output),
        1 => Just(CallKind::Stop),
        1 => Just(CallKind::Kill),
    ]
}

/// Steps without a fault: whatever happens, no event may be handled twice.
fn calm() -> impl Strategy<Value = Action> {
    prop_oneof![
        16 => (any::<Index>(), 1usize..4).prop_map(|(at, count)| Action::Deliver(at, count)),
        10 => (any::<Index>(), 4usize..40).prop_map(|(at, count)| Action::Deliver(at, count)),
        10 => (0usize..2).prop_map(Action::Word),
        3 => (0usize..2).prop_map(Action::Connect),
        2 => (0usize..2).prop_map(|acting| Action::View(None, acting, false)),
        10 => (any::<Index>(), 0usize..200, 1usize..12)
            .prop_map(|(at, length, count)| Action::Emit(at, length, count)),
        1 => any::<Index>().prop_map(Action::End),
        8 => (0usize..2).prop_map(Action::Handle),
        3 => any::<Index>().prop_map(Action::Answer),
        8 => (0usize..2, call_kind(), any::<Index>(), 0u64..40)
            .prop_map(|(control, kind, at, seconds)| Action::Call(control, kind, at, seconds)),
        2 => (0usize..2, any::<Index>()).prop_map(|(control, at)| Action::Repeat(control, at)),
        1 => (0usize..2, any::<Index>()).prop_map(|(control, at)| Action::Cancel(control, at)),
        4 => prop_oneof![1u64..200, 200u64..1_200].prop_map(Action::Time),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        100 => calm(),
        2 => (any::<Index>(), any::<bool>(), any::<bool>()).prop_map(|(at, worker, control)| Action::Cut(at, worker, control)),
        1 => (0usize..2).prop_map(Action::Crash),
        1 => Just(Action::LoseWords),
        1 => Just(Action::RestartWorker),
        2 => (0usize..2).prop_map(Action::OutOfReach),
        2 => (prop::option::of(0usize..2), 0usize..2, any::<bool>())
            .prop_map(|(who, acting, down)| Action::View(who, acting, down)),
        1 => (3_000u64..20_000).prop_map(Action::Time),
    ]
}

/// Every call that was made, and every task it started.
#[derive(Default)]
struct Made {
    calls: Vec<Called>,
}

/// A call as it was stamped where it entered: a repeat is never stamped anew.
#[derive(Clone)]
struct Called {
    id: CallId,
    generation: Generation,
    verb: Verb,
}

fn pick<T: Clone>(from: &[T], at: Index) -> Option<T> {
    (!from.is_empty()).then(|| at.get(from).clone())
}

fn step(world: &mut World, made: &mut Made, action: Action) {
    match action {
        Action::Deliver(at, count) => {
            for turn in 0..count {
                let waiting = world.waiting();
                let Some((link, to, lane)) = pick(&waiting, at) else { break };
                // Another lane each time, and the same ones again on a replay.
                let (link, to, lane) = waiting
                    .get((at.index(usize::MAX) / (turn + 1)) % waiting.len())
                    .copied()
                    .unwrap_or((link, to, lane));
                world.deliver(link, to, lane);
            }
        }
        Action::Word(to) => drop(world.deliver_word(NAMES[to], NAMES[1 - to])),
        Action::LoseWords => world.words.clear(),
        Action::Connect(control) => {
            // A worker dials nobody whom it is linked to.
            if world.links_of(NAMES[control]).is_empty() {
                world.connect(NAMES[control]);
            }
        }
        Action::Cut(at, worker_sees, control_sees) => {
            let links: Vec<_> = world.wires.keys().copied().collect();
            if let Some(link) = pick(&links, at) {
                world.cut(link, worker_sees, control_sees);
            }
        }
        Action::Crash(control) => world.crash(NAMES[control]),
        Action::RestartWorker => world.restart_worker(),
        Action::OutOfReach(control) => world.strand(NAMES[control]),
        Action::View(None, acting, _) => world.set_acting(NAMES[acting]),
        Action::View(Some(who), acting, down) => {
            // To take a live node for dead is a fault: what it has in hand is handled elsewhere too.
            world.history.faulty |= down;
            world.set_view(NAMES[who], |view| {
                view.acting = Some(NAMES[acting]);
                view.down = down.then_some(NAMES[1 - who]).into_iter().collect();
            });
        }
        Action::Time(milliseconds) => world.jump(Duration::from_millis(milliseconds)),
        by_users => work(world, made, by_users),
    }
    assert!(!world.worker.core.status().runs_requests() || world.worker.core.owner().is_some());
}

/// What handlers and callers do.
fn work(world: &mut World, made: &mut Made, action: Action) {
    match action {
        Action::Emit(at, length, count) => {
            let tasks: Vec<TaskId> = world.worker.tasks.iter().cloned().collect();
            if let Some(task) = pick(&tasks, at) {
                for number in 0..count {
                    world.emit(&task, Bytes::from(vec![number as u8; length]));
                }
            }
        }
        Action::End(at) => {
            let tasks: Vec<TaskId> = world.worker.tasks.iter().cloned().collect();
            if let Some(task) = pick(&tasks, at) {
                world.end(&task, TaskEnd::Done(Bytes::from_static(b"output")));
            }
        }
        Action::Handle(control) => drop(world.handle_one(NAMES[control])),
        Action::Answer(at) => {
            let requests = world.worker.requests.iter().cloned();
            let commands = world.worker.commands.iter().map(|(_, call, _)| call.clone());
            let calls: Vec<CallId> = requests.chain(commands).collect();
            if let Some(call) = pick(&calls, at) {
                world.answer(&call);
            }
        }
        Action::Call(control, kind, at, seconds) => {
            let verb = verb(world, made, kind, at);
            let id = world.call_within(NAMES[control], verb.clone(), Duration::from_secs(seconds));
            made.calls.push(Called { id, generation: world.worker.boot.generation, verb });
        }
        Action::Repeat(control, at) => {
            let idle =
                |called: &&Called| !world.controls.values().any(|control| control.open.contains(&called.id));
            let ended: Vec<Called> = made.calls.iter().filter(idle).cloned().collect();
            if let Some(Called { id, generation, verb }) = pick(&ended, at) {
                let call = ProxyCall { generation, ..world.proxy_call(id, verb, Duration::from_secs(10)) };
                world.enter(NAMES[control], call);
            }
        }
        Action::Cancel(control, at) => {
            if let Some(called) = pick(&made.calls, at) {
                world.cancel(NAMES[control], &called.id);
            }
        }
        by_the_network => panic!("{by_the_network:?} is no work"),
    }
}

fn verb(world: &World, made: &Made, kind: CallKind, at: Index) -> Verb {
    let tasks: Vec<TaskId> = world.worker.tasks.iter().cloned().collect();
    let task = pick(&tasks, at);
    match (kind, task) {
        (CallKind::Start, _) => start(),
        (CallKind::StartAttempt, _) => start_attempt(at.index(6) as u64),
        (CallKind::Kill, Some(task)) => Verb::Kill { task },
        (CallKind::StartBound, _) => start_with(OnDisconnect::StopAfter { milliseconds: 4_000 }),
        (CallKind::Command, Some(task)) => {
            let stream = CommandStream(task.0.clone());
            let of_task = |verb: &Verb| matches!(verb, Verb::Command { task: of, .. } if *of == task);
            let sequence = made.calls.iter().filter(|called| of_task(&called.verb)).count() as u64;
            command(&task, &stream, sequence)
        }
        (CallKind::Output, Some(task)) => output(&task),
        (CallKind::Stop, Some(task)) => Verb::Stop { task, grace_ms: 2_000 },
        _ => request(),
    }
}

/// Faults stop and time passes: one owner, everything handled, every call answered.
fn calm_down(world: &mut World, acting: usize) {
    let (acting, other) = (NAMES[acting], NAMES[1 - acting]);
    world.set_acting(acting);
    world.automatic = true;
    world.bury_dead_links();
    for _ in 0..120 {
        world.pass(Duration::from_secs(1));
        world.bury_dead_links();
        // What the worker's search does, in short: everybody it is not linked to.
        let shared = world.role == Role::Control;
        if world.worker.core.owner().is_none() || shared {
            for name in NAMES {
                if world.links_of(name).is_empty() {
                    world.connect(name);
                }
            }
        }
    }
    assert!(world.hosts(acting) && !world.hosts(other));
    assert_eq!(world.worker.core.owner().map(|owner| owner.as_str()), Some(acting));
    assert_eq!(world.history.missing(world.worker.boot.generation), []);
    for control in world.controls.values() {
        assert!(control.open.is_empty(), "without a reply: {:?}", control.open);
        assert!(control.hand.is_empty());
    }
    assert!(world.worker.requests.is_empty() || world.worker.core.poll_timeout().is_some());
}

fn live(role: Role, actions: Vec<Action>, acting: usize) -> World {
    let config = Config {
        running_requests_max: 3,
        tasks_max: 3,
        outbox_bytes_max: 2_000,
        settle: Duration::from_millis(300),
        ..Config::default()
    };
    let mut world = World::new(role, config);
    world.automatic = false;
    let mut made = Made::default();
    for name in NAMES {
        world.connect(name);
    }
    for action in actions {
        step(&mut world, &mut made, action);
    }
    calm_down(&mut world, acting);
    world
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 80,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn promises_hold_through_faults(
        shared: bool,
        actions in prop::collection::vec(action(), 1..250),
        acting in 0usize..2,
    ) {
        live(if shared { Role::Control } else { Role::Worker }, actions, acting);
    }

    #[test]
    fn graceful_moves_lose_and_repeat_nothing(
        shared: bool,
        actions in prop::collection::vec(calm(), 1..250),
        acting in 0usize..2,
    ) {
        live(if shared { Role::Control } else { Role::Worker }, actions, acting);
    }
}
