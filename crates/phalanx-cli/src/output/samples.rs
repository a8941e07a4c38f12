//! Fixed values of which the forms are recorded.

use bytes::Bytes;
use phalanx::{Boot, CallId, Fence, Generation, Instance, NodeId, NodeStatus, TaskId, TaskState, Usage};
use phalanx_operator::{
    ControlStatus, Event, EventKind, Formation, Liveness, Member, MemberState, Node, NodeDetails, Nodes,
    Part, SocketStatus, Status, StrategyStatus, Task, TaskTold, WorkerStatus,
};

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn boot(name: &str) -> Boot {
    Boot { node: id(name), generation: Generation::from_u64(0x1a2b) }
}

pub(crate) fn task_id(sequence: u64) -> TaskId {
    TaskId(CallId { caller: boot("control-1"), sequence })
}

pub(crate) fn member(name: &str) -> Member {
    Member {
        node: boot(name),
        liveness: Liveness::Suspect,
        state: Some(MemberState::Active),
        addresses: vec!["10.0.0.1:7000".parse().unwrap(), "control.example".parse().unwrap()],
        weight: 2,
        zone: "rack-1".into(),
    }
}

fn worker(name: &str) -> Node {
    Node {
        node: id(name),
        generation: Generation::from_u64(0x1a2b),
        owner: id("control-1"),
        fence: Fence(3),
        status: NodeStatus::NotConnected,
        tasks: 2,
        labels: "core;group=a".parse().unwrap(),
        classes: vec!["double/1".into(), "phalanx.node/1".into()],
        usage: Usage { memory_percent: Some(41), cpu_percent: Some(7), ..Usage::default() },
    }
}

pub(crate) fn nodes() -> Nodes {
    Nodes { nodes: vec![worker("control-1"), worker("worker-1")], silent: Vec::new() }
}

pub(crate) fn details() -> NodeDetails {
    NodeDetails {
        node: id("control-1"),
        worker: Some(worker("control-1")),
        member: Some(member("control-1")),
        lost: None,
        tasks: vec![Task { task: "control-1@1a2b/7".into(), class: "double/1".into() }],
        error: Some("the worker does not answer".into()),
        version: Some("0.1.0".into()),
    }
}

fn status(part: Part) -> Status {
    Status {
        cluster: "media".into(),
        node: boot("control-1"),
        listen: "10.0.0.1:7000".parse().unwrap(),
        version: "0.1.0".into(),
        ready: false,
        explanation: "forming: 1 of 3 expected control nodes are here".into(),
        part,
    }
}

pub(crate) fn control_status() -> Status {
    status(Part::Control(ControlStatus {
        cluster_id: "abcdefghijklmnopqrstuvwxyz".into(),
        formation: Formation::Forming { seen: 1, expected: 3 },
        majority: true,
        members: vec![
            member("control-1"),
            Member { state: None, zone: String::new(), ..member("control-22") },
        ],
        hosted: 1,
        discovery: vec![
            StrategyStatus { name: "DnsPeers".into(), found: 2, error: None },
            StrategyStatus { name: "Etcd".into(), found: 0, error: Some("no such name".into()) },
        ],
        sockets: vec![
            SocketStatus {
                socket: "10.0.0.2:7000".parse().unwrap(),
                node: Some(id("control-22")),
                error: None,
            },
            SocketStatus {
                socket: "[::1]:7000".parse().unwrap(),
                node: None,
                error: Some("nobody answered in time".into()),
            },
        ],
    }))
}

pub(crate) fn worker_status() -> Status {
    status(Part::Worker(WorkerStatus { status: NodeStatus::Ready, owner: Some(id("control-1")) }))
}

fn task_told(attempt: Option<u64>) -> TaskTold {
    TaskTold {
        node: id("worker-1"),
        task: "control-1@1a2b#7".into(),
        class: "double/1".into(),
        instance: attempt.map(|attempt| Instance::new("web", "0", attempt).unwrap()),
    }
}

/// One of each kind.
pub(crate) fn events() -> Vec<Event> {
    let node = || boot("control-2");
    let user = |payload: &'static [u8]| EventKind::User {
        from: id("control-1"),
        name: "deploy".into(),
        payload: Bytes::from_static(payload),
    };
    let kinds = [
        EventKind::Joined { node: node(), address: Some("10.0.0.2:7000".parse().unwrap()) },
        EventKind::Joined { node: node(), address: None },
        EventKind::Up(node()),
        EventKind::Suspect(node()),
        EventKind::Down(node()),
        EventKind::Left(node()),
        EventKind::Removed(node()),
        EventKind::Expelled,
        EventKind::PartitionOccurred,
        EventKind::PartitionHealed,
        EventKind::RosterUpdated { version: 9 },
        EventKind::Worker { node: id("worker-1"), status: NodeStatus::Ready, hosted: Some(Fence(3)) },
        EventKind::Worker { node: id("worker-1"), status: NodeStatus::NotConnected, hosted: None },
        EventKind::Labelled { node: id("worker-1") },
        EventKind::Redelivered { count: 4 },
        EventKind::MassFailure { lost: 5, known: 6 },
        EventKind::MassFailureEnded,
        user(b"version 7"),
        user(b"\xff\x00"),
        user(b"\x1b[2J"),
        EventKind::Missed { count: 8 },
        EventKind::Gap { after: 9 },
        EventKind::PartitionSuspected { away: vec![id("control-2"), id("control-3")] },
        EventKind::PartitionEnded,
        EventKind::TaskStarted(task_told(None)),
        EventKind::TaskStarted(task_told(Some(3))),
        EventKind::TaskStopped {
            task: task_told(Some(3)),
            state: TaskState::Failed,
            reason: "the handler panicked: out of \x1b[2Jpaper".into(),
        },
        EventKind::Job {
            job: "shop/web".into(),
            attempt: Some("shop/web[0]#2".into()),
            node: Some(id("worker-1")),
            what: "lost".into(),
            reason: "its worker has started anew".into(),
        },
    ];
    let numbered = kinds.into_iter().zip(1_700_000_000_000_000..);
    numbered.map(|(kind, number)| Event { number, unix_ms: number / 1_000, kind }).collect()
}
