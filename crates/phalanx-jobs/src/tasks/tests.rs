//! The table of tasks, told as stories.

use super::*;
use bytes::Bytes;
use phalanx_base::{Boot, Generation, NodeId};
use proptest::collection::vec;
use proptest::prelude::*;

fn call(sequence: u64) -> CallId {
    let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
    CallId { caller, sequence }
}

fn class() -> ClassName {
    ClassName { name: "test".into(), version: 1 }
}

fn start(table: &mut TaskTable, task: &TaskId, on_disconnect: OnDisconnect) {
    let start = TaskStart { class: class(), instance: None, on_disconnect, waits: false };
    table.start(Instant::now(), task.clone(), start);
}

fn end(table: &mut TaskTable, task: &TaskId, end: TaskEnd) -> Option<Waiting> {
    table.end(Instant::now(), task, end)
}

#[test]
fn commands_come_in_order_or_not_at_all() {
    let (task, stream) = (TaskId(call(1)), CommandStream(call(2)));
    let mut table = TaskTable::default();
    assert_eq!(table.command(&task, &stream, 0, &call(3)), Err(Reason::NoSuchTask));
    start(&mut table, &task, OnDisconnect::Keep);
    assert_eq!(table.command(&task, &stream, 1, &call(4)), Err(Reason::CommandOutOfOrder));
    assert_eq!(table.command(&task, &stream, 0, &call(3)), Ok(()));
    assert_eq!(table.command(&task, &stream, 0, &call(5)), Err(Reason::CommandOutOfOrder));
    assert_eq!(table.command(&task, &stream, 1, &call(4)), Ok(()));
    table.command_done(&task, &call(3));
    let waiting = end(&mut table, &task, TaskEnd::Stopped).unwrap();
    assert_eq!(waiting.commands, [call(4)]);
    assert_eq!(table.command(&task, &stream, 2, &call(6)), Err(Reason::TaskEnded));
}

#[test]
fn an_end_never_changes() {
    let task = TaskId(call(1));
    let mut table = TaskTable::default();
    start(&mut table, &task, OnDisconnect::Keep);
    assert_eq!(table.watch(&task, &call(7)), Watch::Waiting);
    let done = TaskEnd::Done(Bytes::from_static(b"4"));
    assert_eq!(end(&mut table, &task, done.clone()).unwrap().watchers, [call(7)]);
    assert_eq!(end(&mut table, &task, TaskEnd::Lost), None);
    assert_eq!(table.watch(&task, &call(8)), Watch::Ended(done));
    assert_eq!(table.running(), 0);
}

#[test]
fn tasks_stop_when_their_time_has_passed() {
    let now = Instant::now();
    let task = TaskId(call(1));
    let mut table = TaskTable::default();
    start(&mut table, &task, OnDisconnect::StopAfter { milliseconds: 500 });
    let at = now + Duration::from_millis(500);
    table.stop(&task, at);
    assert_eq!(table.poll_timeout(), Some(at));
    assert_eq!(table.overdue(now), Vec::<TaskId>::new());
    assert_eq!(table.overdue(at), [task]);
}

#[test]
fn a_task_without_an_owner_is_told_to_stop_once_unless_one_returns() {
    let now = Instant::now();
    let task = TaskId(call(1));
    let mut table = TaskTable::default();
    start(&mut table, &task, OnDisconnect::StopAfter { milliseconds: 500 });
    start(&mut table, &TaskId(call(2)), OnDisconnect::Keep);
    let at = now + Duration::from_millis(500);
    table.on_disconnect(now);
    table.on_connect();
    assert_eq!((table.poll_timeout(), table.abandoned(at)), (None, Vec::new()));
    table.on_disconnect(now);
    assert_eq!(table.abandoned(now), Vec::<TaskId>::new());
    assert_eq!(table.poll_timeout(), Some(at));
    assert_eq!(table.abandoned(at), [task]);
    assert_eq!(table.abandoned(at), Vec::<TaskId>::new());
}

#[test]
fn a_task_with_a_full_queue_refuses_commands() {
    let (task, stream) = (TaskId(call(1)), CommandStream(call(2)));
    let mut table = TaskTable::default();
    start(&mut table, &task, OnDisconnect::Keep);
    for sequence in 0..COMMANDS_MAX as u64 {
        assert_eq!(table.command(&task, &stream, sequence, &call(10 + sequence)), Ok(()));
    }
    let refused = table.command(&task, &stream, COMMANDS_MAX as u64, &call(999));
    assert_eq!(refused, Err(Reason::Busy(Cap::Commands)));
}

#[test]
fn a_task_that_waits_is_starting_and_hears_nothing() {
    let now = Instant::now();
    let (task, stream) = (TaskId(call(1)), CommandStream(call(2)));
    let instance = crate::wire::Instance::new("web", "0", 2).unwrap();
    let mut table = TaskTable::default();
    let waiting = TaskStart {
        class: class(),
        instance: Some(instance.clone()),
        on_disconnect: OnDisconnect::Keep,
        waits: true,
    };
    table.start(now, task.clone(), waiting);
    assert_eq!(table.infos().next().unwrap().state, TaskState::Starting);
    assert_eq!(table.command(&task, &stream, 0, &call(3)), Err(Reason::TaskStarting));
    assert_eq!(table.check_alive(&task), Ok(()));
    let later = now + Duration::from_secs(3);
    table.begin(later, &task);
    assert_eq!(table.command(&task, &stream, 0, &call(3)), Ok(()));
    let details = table.details(later + Duration::from_secs(1), &task).unwrap();
    assert_eq!((details.state, details.running_ms, details.end), (TaskState::Running, 1_000, None));
    assert_eq!((details.instance, details.class), (Some(instance), class()));
}

#[test]
fn an_ended_task_is_kept_with_its_last_words() {
    let now = Instant::now();
    let task = TaskId(call(1));
    let mut table = TaskTable::default();
    start(&mut table, &task, OnDisconnect::Keep);
    table.log(&task, "about to fall");
    table.stop(&task, now + Duration::from_secs(9));
    assert_eq!(table.details(now, &task).unwrap().state, TaskState::Stopping);
    let fell = Reason::Panicked("over".to_owned());
    let ended_at = now + Duration::from_secs(60);
    table.end(ended_at, &task, TaskEnd::Aborted(fell.clone()));
    table.log(&task, "from beyond");
    let details = table.details(ended_at + Duration::from_secs(5), &task).unwrap();
    assert_eq!((details.state, details.end), (TaskState::Failed, Some(EndSummary::Aborted(fell.clone()))));
    assert_eq!((details.ended_ms_ago, details.log), (Some(5_000), vec!["about to fall".to_owned()]));
    assert!((59_000..=60_000).contains(&details.running_ms), "{}", details.running_ms);
    let ended: Vec<EndedTask> = table.ended(ended_at).collect();
    assert_eq!((ended.len(), &ended[0].end), (1, &EndSummary::Aborted(fell)));
    assert_eq!(table.infos().count(), 0);
    assert_eq!(table.details(now, &TaskId(call(9))), None);
}

#[test]
fn as_many_ends_are_kept_as_the_cap_says_and_their_lines_go_with_them() {
    let mut table = TaskTable::default();
    let count = ENDED_TASKS_MAX as u64 + 3;
    for number in 0..count {
        let task = TaskId(call(number));
        start(&mut table, &task, OnDisconnect::Keep);
        table.log(&task, "a line");
        end(&mut table, &task, TaskEnd::Killed);
    }
    let now = Instant::now();
    assert_eq!(table.ended(now).count(), ENDED_TASKS_MAX);
    assert_eq!(table.details(now, &TaskId(call(2))), None);
    let kept = table.details(now, &TaskId(call(3))).unwrap();
    assert_eq!((kept.state, kept.log), (TaskState::Killed, vec!["a line".to_owned()]));
    // Large outputs push out others sooner.
    let large = Bytes::from(vec![0; ENDED_OUTPUT_BYTES_MAX / 4]);
    for number in count..count + 5 {
        let task = TaskId(call(number));
        start(&mut table, &task, OnDisconnect::Keep);
        end(&mut table, &task, TaskEnd::Done(large.clone()));
    }
    assert!(table.ended(now).count() <= 5);
    assert_eq!(table.details(now, &TaskId(call(3))), None);
}

/// What may happen to one of a few tasks.
#[derive(Debug, Clone, Copy)]
enum Step {
    Start { stop_after: Option<u64> },
    Stop { within: u64 },
    Outlive(bool),
    End,
    Disconnect,
    Connect,
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        proptest::option::of(0..20_u64).prop_map(|stop_after| Step::Start { stop_after }),
        (0..20_u64).prop_map(|within| Step::Stop { within }),
        any::<bool>().prop_map(Step::Outlive),
        Just(Step::End),
        Just(Step::Disconnect),
        Just(Step::Connect),
        Just(Step::Abandon),
    ]
}

proptest! {
    /// What is kept in order says what a walk over all tasks would say.
    #[test]
    fn what_is_due_is_what_a_walk_would_find(steps in vec((0..6_u64, 0..5_u64, step()), 1..60)) {
        let mut now = Instant::now();
        let mut table = TaskTable::default();
        for (number, passed, step) in steps {
            now += Duration::from_millis(passed);
            let task = TaskId(call(number));
            match step {
                Step::Start { stop_after } if table.check_alive(&task) == Err(Reason::NoSuchTask) => {
                    let on_disconnect = stop_after.map_or(OnDisconnect::Keep, |milliseconds| {
                        OnDisconnect::StopAfter { milliseconds }
                    });
                    start(&mut table, &task, on_disconnect);
                }
                Step::Start { .. } => {}
                Step::Stop { within } => table.stop(&task, now + Duration::from_millis(within)),
                Step::Outlive(outlives) => table.set_outlives(&task, outlives),
                Step::End => drop(table.end(now, &task, TaskEnd::Stopped)),
                Step::Disconnect => table.on_disconnect(now),
                Step::Connect => table.on_connect(),
                Step::Abandon => drop(table.abandoned(now)),
            }
            let running = table.running.values();
            prop_assert_eq!(table.poll_timeout(), running.clone().filter_map(Running::due_at).min());
            prop_assert_eq!(table.outliving(), running.filter(|running| running.outlives()).count());
            let overdue = table.running.iter().filter(|(_, running)| running.stop_at.is_some_and(|at| at <= now));
            prop_assert_eq!(table.overdue(now), overdue.map(|(task, _)| task.clone()).collect::<Vec<_>>());
        }
    }
}
