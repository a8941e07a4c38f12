//! One of everything that travels: each kind of frame, and each variant of each enum in one.

use bytes::Bytes;
use phalanx_base::{Boot, Fence, Generation, NodeId, NodeStatus, RosterVersion, Usage};
use phalanx_jobs::wire::*;
use phalanx_jobs::{Cap, Outcome, Reason, TaskEnd};

pub(crate) const CAPS: [Cap; 7] = [
    Cap::RunningRequests,
    Cap::Tasks,
    Cap::Commands,
    Cap::EventLogs,
    Cap::CallsInFlight,
    Cap::Inbox,
    Cap::Callers,
];

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("samples are well-formed")
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn id() -> CallId {
    let caller = Boot { node: node("control-1"), generation: Generation::from_u64(0x0190_1234_5678_9abc) };
    CallId { caller, sequence: 300 }
}

fn class() -> ClassName {
    ClassName { name: "camera".into(), version: 2 }
}

fn instance() -> Instance {
    Instance::new("web", "camera-7", 300).expect("samples are well-formed")
}

fn standby(name: &str) -> Standby {
    Standby { node: node(name), addresses: "10.0.0.5:7000".parse().expect("samples are well-formed") }
}

/// Each reason.
pub(crate) fn reasons() -> Vec<Reason> {
    let mut reasons = vec![
        Reason::NotFound,
        Reason::NotConnected,
        Reason::NotHosted,
        Reason::OwnerUnreachable(node("control-2")),
        Reason::LinkLost,
        Reason::NotReady(NodeStatus::Stopping),
        Reason::Fenced,
        Reason::OtherGeneration,
        Reason::DeadlineExceeded,
        Reason::Cancelled,
    ];
    reasons.extend(CAPS.map(Reason::Busy));
    reasons.extend([
        Reason::NoSuchClass,
        Reason::OtherVersion { ours: 2, theirs: 1 },
        Reason::NotSupported,
        Reason::NoSuchTask,
        Reason::TaskEnded,
        Reason::NoReply,
        Reason::CommandOutOfOrder,
        Reason::TooLarge { bytes: 2_000_000, bytes_max: 1_048_576 },
        Reason::Malformed,
        Reason::Panicked("oh no".to_owned()),
        Reason::Forgotten,
        Reason::ShuttingDown,
        Reason::Superseded,
        Reason::TaskStarting,
    ]);
    reasons
}

fn verbs() -> Vec<Verb> {
    let start = |on_disconnect, instance| Verb::Start {
        class: class(),
        body: bytes("task"),
        on_disconnect,
        instance,
    };
    vec![
        Verb::Request { class: class(), body: bytes("request") },
        start(OnDisconnect::Keep, None),
        start(OnDisconnect::StopAfter { milliseconds: 60_000 }, Some(instance())),
        Verb::Command {
            task: TaskId(id()),
            stream: CommandStream(id()),
            sequence: 7,
            body: bytes("command"),
        },
        Verb::Output { task: TaskId(id()) },
        Verb::Stop { task: TaskId(id()), grace_ms: 5_000 },
        Verb::Kill { task: TaskId(id()) },
    ]
}

fn outcomes() -> Vec<Outcome> {
    let mut outcomes = vec![
        Outcome::Done(bytes("reply")),
        Outcome::Failed(bytes("error")),
        Outcome::Aborted(Reason::DeadlineExceeded),
        Outcome::Unknown(Reason::LinkLost),
    ];
    outcomes.extend(reasons().into_iter().map(Outcome::NotExecuted));
    outcomes
}

fn event_bodies() -> Vec<EventBody> {
    let ends = [
        TaskEnd::Done(bytes("output")),
        TaskEnd::Failed(bytes("error")),
        TaskEnd::Stopped,
        TaskEnd::Aborted(Reason::Malformed),
        TaskEnd::Lost,
        TaskEnd::Killed,
    ];
    let mut bodies = vec![EventBody::Emitted(bytes("event")), EventBody::Gap { through: 1_000 }];
    bodies.extend(ends.map(EventBody::Ended));
    bodies
}

fn of_ownership() -> Vec<Message> {
    let (fence, roster) = (Fence(5), RosterVersion(70));
    let labels: phalanx_base::Labels = "core;group=group1".parse().expect("samples are well-formed");
    let mut messages: Vec<Message> = vec![
        Attach { roster, last_fence: Fence(0), sees_down: None, handover_token: None, standbys: vec![] }
            .into(),
        Attach {
            roster,
            last_fence: Fence(4),
            sees_down: Some(node("control-2")),
            handover_token: Some(bytes("token")),
            standbys: vec![standby("control-1"), standby("control-2")],
        }
        .into(),
        Attached {
            fence,
            status: NodeStatus::Ready,
            labels: labels.clone(),
            classes: vec![class()],
            tasks: 1,
        }
        .into(),
        TaskSnapshot {
            fence,
            task: TaskId(id()),
            class: class(),
            acked: 41,
            checkpoint: None,
            instance: None,
        }
        .into(),
        TaskSnapshot {
            fence,
            task: TaskId(id()),
            class: class(),
            acked: 41,
            checkpoint: Some(bytes("state")),
            instance: Some(instance()),
        }
        .into(),
        Nack { present: node("control-2"), fence }.into(),
        Redirect { owner: standby("control-2"), roster }.into(),
        Release { fence, owner: standby("control-2") }.into(),
        StandDown { fence }.into(),
        Beat { fence, roster, standbys: None }.into(),
        Beat { fence, roster, standbys: Some(vec![standby("control-2")]) }.into(),
        Report { fence, status: NodeStatus::Ready, tasks: 3, labels: Some(labels) }.into(),
    ];
    use NodeStatus::{Connecting, Launching, NotConnected, Ready, Standby, Stopped, Stopping};
    messages.extend(
        [Launching, Connecting, Ready, Standby, Stopping, Stopped, NotConnected]
            .map(|status| Report { fence, status, tasks: 0, labels: None }.into()),
    );
    let usage = Usage { memory_percent: Some(7), disk_percent: Some(100), ..Usage::default() };
    messages.push(Gauge { fence, usage }.into());
    messages.push(Stranded { owner: node("c1") }.into());
    messages
}

fn of_work() -> Vec<Message> {
    let (fence, generation) = (Fence(5), Generation::from_u64(0x0190_ffff_0000_1111));
    let worker = node("camera-7");
    let mut messages: Vec<Message> = vec![
        Ack { fence, task: TaskId(id()), through: 41, checkpoint: None }.into(),
        Ack { fence, task: TaskId(id()), through: 41, checkpoint: Some(bytes("state")) }.into(),
        Cancel { id: id() }.into(),
        ForwardCancel { worker: worker.clone(), id: id() }.into(),
        Locate(worker.clone()).into(),
    ];
    messages.extend(
        verbs()
            .into_iter()
            .map(|verb| Call { id: id(), fence, generation, remaining_ms: 30_000, verb }.into()),
    );
    messages.extend(outcomes().into_iter().map(|outcome| OutcomeOf { id: id(), outcome }.into()));
    messages.extend(
        event_bodies().into_iter().map(|body| Event { fence, task: TaskId(id()), sequence: 42, body }.into()),
    );
    messages.extend(verbs().into_iter().map(|verb| {
        Forward { worker: worker.clone(), id: id(), generation, remaining_ms: 30_000, verb }.into()
    }));
    let done = Outcome::Done(bytes("reply"));
    messages.push(ForwardOutcome { id: id(), outcome: done }.into());
    let hostings =
        [Hosting::Unknown, Hosting::NotConnected, Hosting::Between, Hosting::Hosted { fence, generation }];
    messages.extend(hostings.map(|hosting| Located { worker: worker.clone(), hosting }.into()));
    messages.extend(between_controls());
    messages
}

fn between_controls() -> Vec<Message> {
    let (worker, generation, fence) =
        (node("camera-7"), Generation::from_u64(0x0190_ffff_0000_1111), Fence(5));
    let token = HandoverToken {
        worker: worker.clone(),
        generation,
        fence,
        receiver: node("control-2"),
        cursors: CursorsDigest([0xcd; 32]),
    };
    let states = vec![TaskState { task: TaskId(id()), state: bytes("state") }];
    let hosted = HostedWorker {
        worker: worker.clone(),
        generation,
        fence,
        status: NodeStatus::Ready,
        tasks: 300,
        labels: "core;group=group1".parse().expect("samples are well-formed"),
        classes: vec![class()],
        usage: Usage { cpu_percent: Some(93), ..Usage::default() },
    };
    vec![
        Wanted { worker: worker.clone(), generation }.into(),
        Offer {
            worker: worker.clone(),
            generation,
            fence,
            number: 3,
            valid_ms: 15_000,
            token: token.encode(),
            states,
        }
        .into(),
        Declined { worker: worker.clone(), fence, number: 3 }.into(),
        List { question: 300, after: None }.into(),
        List { question: 1, after: Some(worker) }.into(),
        Listed { question: 300, workers: vec![hosted], more: true }.into(),
    ]
}

/// Every message.
pub(crate) fn messages() -> Vec<Message> {
    let mut messages = of_ownership();
    messages.extend(of_work());
    messages
}

/// Every opening.
pub(crate) fn openings() -> Vec<Opening> {
    let generation = Generation::from_u64(0x0190_ffff_0000_1111);
    let (task, transfer) = (TaskId(id()), TransferId(9));
    vec![
        Opening::Session,
        Opening::Peer,
        Opening::Gossip,
        Opening::Transfer { fence: Fence(5), generation, task: task.clone(), transfer },
        Opening::PeerTransfer { worker: node("camera-7"), generation, task, transfer },
    ]
}

/// Every reply to a transfer.
pub(crate) fn transfer_replies() -> Vec<TransferReply> {
    vec![
        TransferReply::Received(Receipt { bytes: 70_000, blake3: [0xab; 32] }),
        TransferReply::Refused(Reason::NoSuchTask),
        TransferReply::Abandoned,
        TransferReply::Corrupt,
        TransferReply::Failed("the disk is gone".to_owned()),
        TransferReply::Begun,
    ]
}

/// Every opening of a transfer from a task.
pub(crate) fn fetches() -> Vec<Opening> {
    let generation = Generation::from_u64(0x0190_ffff_0000_1111);
    let (task, transfer, note) = (TaskId(id()), TransferId(10), bytes("all of it"));
    vec![
        Opening::Fetch { fence: Fence(5), generation, task: task.clone(), transfer, note: note.clone() },
        Opening::PeerFetch { worker: node("camera-7"), generation, task, transfer, note },
    ]
}

/// News of each kind.
pub(crate) fn published() -> Vec<Published> {
    let origin = Boot { node: node("a"), generation: Generation::from_u64(9) };
    let user = News::User { name: "weather".to_owned(), payload: bytes("rain") };
    [user, News::Forget { worker: node("camera-7") }]
        .into_iter()
        .zip(1..)
        .map(|(news, number)| Published { origin: origin.clone(), number, news })
        .collect()
}

/// A call through a gateway, and its end.
pub(crate) fn gateway() -> ((GatewayCall, GatewayCancel), GatewayOutcome) {
    let verb = Verb::Stop { task: TaskId(id()), grace_ms: 300 };
    let generation = Some(Generation::from_u64(9));
    let call = GatewayCall {
        number: 7,
        worker: node("camera-7"),
        bound: generation,
        remaining_ms: 30_000,
        patience_ms: 5_000,
        idempotent: true,
        verb,
    };
    let outcome = Outcome::Done(bytes("done"));
    ((call, GatewayCancel { number: 300 }), GatewayOutcome { number: 7, id: id(), generation, outcome })
}

/// Every frame, in the order of the recorded ones.
pub(crate) fn frames() -> Vec<Frame> {
    let mut frames: Vec<Frame> = openings().iter().map(Opening::to_frame).collect();
    frames.extend(messages().iter().map(Message::to_frame));
    frames.push(Chunk(bytes("raw")).into_frame());
    frames.push(TransferEnd { bytes: 70_000, blake3: [0xab; 32] }.to_frame());
    frames.extend(transfer_replies().iter().map(TransferReply::to_frame));
    frames.push(Frame { kind: Kind::Gossip as u8, body: bytes("opaque") });
    frames.push(Opening::News.to_frame());
    frames.extend(published().iter().map(Published::to_frame));
    let ((call, cancel), outcome) = gateway();
    frames.extend([Opening::Gateway.to_frame(), call.to_frame(), cancel.to_frame(), outcome.to_frame()]);
    frames.extend(fetches().iter().map(Opening::to_frame));
    frames
        .extend([Opening::Metadata.to_frame(), Frame { kind: Kind::Metadata as u8, body: bytes("opaque") }]);
    frames
}
