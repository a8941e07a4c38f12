//! The built-in operations: no byte of them ever changes, the greatest answer fits a frame, and a worker that stops says
//! what still runs.

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use common::{World, class, node, start};
use phalanx_base::{Boot, Generation, Labels, NodeStatus};
use phalanx_jobs::wire::{
    CallId, ClassName, INSTANCE_NAME_BYTES_MAX, Instance, JOB_NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, TaskId, Verb,
};
use phalanx_jobs::{
    CLASS_NAME_BYTES_MAX, ENDED_TASKS_PAGE_MAX, EndSummary, EndedTask, LOG_LINE_BYTES_MAX, LOG_LINES_MAX,
    NodeInfo, Operation, OperationReply, REASON_TEXT_BYTES_MAX, Reason, STOPPING_NAMED_MAX, StopProgress,
    StoppingTask, TASKS_PAGE_MAX, TaskDetails, TaskEnd, TaskInfo, TaskState,
};

const SECOND: Duration = Duration::from_secs(1);

/// What was recorded when the operations were frozen: a line each, operations first, in hexadecimal.
const RECORDED: &str = include_str!("vectors/operations-1.txt");

fn task(node_name: &str, sequence: u64) -> TaskId {
    let caller = Boot { node: node(node_name), generation: Generation::from_u64(0x0190_1234_5678_9abc) };
    TaskId(CallId { caller, sequence })
}

fn labels() -> Labels {
    "core;rack=7".parse().expect("samples are well-formed")
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::Info,
        Operation::Status,
        Operation::Tasks { after: None },
        Operation::Tasks { after: Some(task("control-1", 300)) },
        Operation::Labels,
        Operation::SetLabels(labels()),
        Operation::Ready,
        Operation::Standby,
        Operation::Stop { grace_ms: 5_000 },
        Operation::Stopping,
        Operation::Task { task: task("control-1", 300) },
        Operation::EndedTasks { after: None },
        Operation::EndedTasks { after: Some(task("control-1", 300)) },
    ]
}

fn replies() -> Vec<OperationReply> {
    let boot = Boot { node: node("w"), generation: Generation::from_u64(7) };
    let tasks = [
        (TaskState::Starting, None),
        (TaskState::Running, None),
        (TaskState::Stopping, Some(Instance::new("web", "0", 3).expect("samples are well-formed"))),
    ]
    .map(|(state, instance)| TaskInfo { task: task("control-1", 300), class: class(), instance, state });
    let named = vec![
        StoppingTask { task: task("control-1", 300), class: class(), ends_in_ms: None },
        StoppingTask { task: task("control-1", 301), class: class(), ends_in_ms: Some(5_000) },
    ];
    vec![
        OperationReply::Info(NodeInfo {
            boot,
            status: NodeStatus::Ready,
            tasks: 1,
            labels: labels(),
            classes: vec![class()],
            version: "0.1.0".to_owned(),
        }),
        OperationReply::Status(NodeStatus::Stopped),
        OperationReply::Tasks { tasks: tasks.to_vec(), more: true },
        OperationReply::Labels(labels()),
        OperationReply::Stopping(StopProgress { status: NodeStatus::Stopping, tasks: 3, told: 2, named }),
        OperationReply::Task(None),
        OperationReply::Task(Some(details())),
        OperationReply::EndedTasks { tasks: ended(), more: false },
    ]
}

fn details() -> TaskDetails {
    TaskDetails {
        task: task("control-1", 300),
        class: class(),
        instance: Some(Instance::new("web", "w7", 3).expect("samples are well-formed")),
        state: TaskState::Failed,
        running_ms: 60_000,
        ended_ms_ago: Some(300),
        end: Some(EndSummary::Aborted(Reason::Panicked("oh no".to_owned()))),
        log: vec!["listening".to_owned(), "falling".to_owned()],
    }
}

fn ended() -> Vec<EndedTask> {
    let ends = [
        EndSummary::Done,
        EndSummary::Failed,
        EndSummary::Stopped,
        EndSummary::Aborted(Reason::NotSupported),
        EndSummary::Lost,
        EndSummary::Killed,
    ];
    ends.into_iter()
        .map(|end| EndedTask {
            task: task("control-1", 300),
            class: class(),
            instance: None,
            ran_ms: 60_000,
            ended_ms_ago: 300,
            end,
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// A change of a byte here is a new version of the class.
#[test]
fn the_operations_are_what_they_were() {
    let operations = operations().into_iter().map(|operation| postcard::to_stdvec(&operation));
    let replies = replies().into_iter().map(|reply| postcard::to_stdvec(&reply));
    let text: String = operations.chain(replies).map(|bytes| hex(&bytes.unwrap()) + "\n").collect();
    let recorded: String =
        RECORDED.lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect();
    assert_eq!(recorded, text, "the operations have changed");
}

#[test]
fn what_was_recorded_decodes_and_there_is_no_other() {
    let recorded: Vec<Vec<u8>> = RECORDED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("it is well-formed");
            (0..line.len()).step_by(2).map(byte).collect()
        })
        .collect();
    let (asked, answered) = recorded.split_at(operations().len());
    let asked: Vec<Operation> = asked.iter().map(|bytes| postcard::from_bytes(bytes).unwrap()).collect();
    let answered: Vec<OperationReply> =
        answered.iter().map(|bytes| postcard::from_bytes(bytes).unwrap()).collect();
    assert_eq!((asked, answered), (operations(), replies()));
    assert!(postcard::from_bytes::<Operation>(&[11, 0, 0]).is_err());
    assert!(postcard::from_bytes::<OperationReply>(&[7, 0, 0, 0, 0]).is_err());
}

#[test]
fn the_greatest_progress_fits_an_answer() {
    let named = StoppingTask {
        task: task(&"n".repeat(64), u64::MAX),
        class: ClassName { name: "c".repeat(CLASS_NAME_BYTES_MAX).into(), version: u32::MAX },
        ends_in_ms: Some(u64::MAX),
    };
    let (status, tasks, told) = (NodeStatus::NotConnected, u32::MAX, u32::MAX);
    let named = vec![named; STOPPING_NAMED_MAX];
    let bytes = postcard::to_stdvec(&StopProgress { status, tasks, told, named }).unwrap();
    assert!(bytes.len() < PAYLOAD_BYTES_MAX / 64, "{}", bytes.len());
}

#[test]
fn the_greatest_pages_of_tasks_and_the_greatest_details_fit_an_answer() {
    let id = task(&"n".repeat(64), u64::MAX);
    let class = ClassName { name: "c".repeat(CLASS_NAME_BYTES_MAX).into(), version: u32::MAX };
    let (job, name) = ("j".repeat(JOB_NAME_BYTES_MAX), "i".repeat(INSTANCE_NAME_BYTES_MAX));
    let instance = Some(Instance::new(job, name, u64::MAX).expect("they are within their limits"));
    let end = EndSummary::Aborted(Reason::Panicked("p".repeat(REASON_TEXT_BYTES_MAX)));
    let info = TaskInfo {
        task: id.clone(),
        class: class.clone(),
        instance: instance.clone(),
        state: TaskState::Running,
    };
    let ended = EndedTask {
        task: id.clone(),
        class: class.clone(),
        instance: instance.clone(),
        ran_ms: u64::MAX,
        ended_ms_ago: u64::MAX,
        end: end.clone(),
    };
    let details = TaskDetails {
        task: id,
        class,
        instance,
        state: TaskState::Failed,
        running_ms: u64::MAX,
        ended_ms_ago: Some(u64::MAX),
        end: Some(end),
        log: vec!["l".repeat(LOG_LINE_BYTES_MAX); LOG_LINES_MAX],
    };
    for reply in [
        OperationReply::Tasks { tasks: vec![info; TASKS_PAGE_MAX], more: true },
        OperationReply::EndedTasks { tasks: vec![ended; ENDED_TASKS_PAGE_MAX], more: true },
        OperationReply::Task(Some(details)),
    ] {
        let bytes = postcard::to_stdvec(&reply).unwrap().len();
        assert!(bytes < PAYLOAD_BYTES_MAX, "{bytes}");
    }
}

fn progress(world: &World) -> (NodeStatus, u32, u32, Vec<(TaskId, Option<u64>)>) {
    let StopProgress { status, tasks, told, named } = world.worker.core.stop_progress(world.now);
    assert!(named.iter().all(|task| task.class == class()));
    (status, tasks, told, named.into_iter().map(|named| (named.task, named.ends_in_ms)).collect())
}

#[test]
fn a_worker_that_stops_says_what_still_runs_and_when_it_is_ended() {
    let mut world = World::attached();
    assert_eq!(progress(&world), (NodeStatus::Ready, 0, 0, vec![]));
    let tasks = [(); 3].map(|()| TaskId(world.call("a", start())));
    world.settle();
    world.call("a", Verb::Stop { task: tasks[1].clone(), grace_ms: 4_000 });
    world.settle();
    // Those first that may run for the longest time.
    let [first, second, third] = &tasks;
    let all = |ends: [(&TaskId, Option<u64>); 3]| ends.map(|(task, at)| (task.clone(), at)).to_vec();
    let expected = all([(first, None), (third, None), (second, Some(4_000))]);
    assert_eq!(progress(&world), (NodeStatus::Ready, 3, 1, expected));
    world.worker.core.handle_stop(world.now, world.now + 10 * SECOND);
    world.pass(SECOND);
    let expected = all([(first, Some(9_000)), (third, Some(9_000)), (second, Some(3_000))]);
    assert_eq!(progress(&world), (NodeStatus::Stopping, 3, 3, expected));
    world.end(third, TaskEnd::Stopped);
    world.pass(3 * SECOND);
    assert_eq!(progress(&world), (NodeStatus::Stopping, 1, 1, vec![(first.clone(), Some(6_000))]));
    world.pass(6 * SECOND);
    assert_eq!(progress(&world), (NodeStatus::Stopped, 0, 0, vec![]));
    assert_eq!(world.worker.aborted, [second.clone(), first.clone()]);
}

#[test]
fn more_tasks_than_somebody_reads_are_counted() {
    let mut world = World::attached();
    for _ in 0..=STOPPING_NAMED_MAX {
        world.call("a", start());
    }
    world.settle();
    world.worker.core.handle_stop(world.now, world.now + SECOND);
    let (status, tasks, told, named) = progress(&world);
    assert_eq!((status, tasks, told), (NodeStatus::Stopping, 17, 17));
    assert_eq!(named.len(), STOPPING_NAMED_MAX);
}
