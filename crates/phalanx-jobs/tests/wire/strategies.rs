//! Any message that the types allow.

use bytes::Bytes;
use phalanx_base::{AddressList, Boot, Fence, Generation, Labels, NodeId, NodeStatus, RosterVersion, Usage};
use phalanx_jobs::wire::*;
use phalanx_jobs::{Cap, Outcome, Reason, TaskEnd};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn node() -> impl Strategy<Value = NodeId> {
    "[a-zA-Z0-9._-]{1,64}".prop_map(|name| NodeId::new(&name).expect("samples are well-formed"))
}

fn fence() -> impl Strategy<Value = Fence> {
    any::<u64>().prop_map(Fence)
}

fn generation() -> impl Strategy<Value = Generation> {
    any::<u64>().prop_map(Generation::from_u64)
}

fn roster() -> impl Strategy<Value = RosterVersion> {
    any::<u64>().prop_map(RosterVersion)
}

fn id() -> impl Strategy<Value = CallId> {
    (node(), generation(), any::<u64>())
        .prop_map(|(node, generation, sequence)| CallId { caller: Boot { node, generation }, sequence })
}

fn task() -> impl Strategy<Value = TaskId> {
    id().prop_map(TaskId)
}

fn class() -> impl Strategy<Value = ClassName> {
    (".{0,20}", any::<u32>()).prop_map(|(name, version)| ClassName { name: name.into(), version })
}

fn instance() -> impl Strategy<Value = Instance> {
    ("[a-z ä]{1,60}", "[a-zA-Z0-9._-]{1,64}", any::<u64>())
        .prop_map(|(job, name, attempt)| Instance::new(job, name, attempt).expect("samples are well-formed"))
}

fn addresses() -> impl Strategy<Value = AddressList> {
    prop_oneof![
        Just(""),
        Just("10.0.0.5:7000"),
        Just("[::1]:9"),
        Just("phalanx://host.example:7000;transport=quic, 10.1.2.3"),
    ]
    .prop_map(|text| {
        if text.is_empty() { AddressList::default() } else { text.parse().expect("samples are well-formed") }
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    prop_oneof![Just(""), Just("core;group=group1;master, meta2;labelA=1"), Just("zone;rack=7")]
        .prop_map(|text| text.parse().expect("samples are well-formed"))
}

fn standby() -> impl Strategy<Value = Standby> {
    (node(), addresses()).prop_map(|(node, addresses)| Standby { node, addresses })
}

fn status() -> impl Strategy<Value = NodeStatus> {
    use NodeStatus::{Connecting, Launching, NotConnected, Ready, Standby, Stopped, Stopping};
    prop::sample::select(vec![Launching, Connecting, Ready, Standby, Stopping, Stopped, NotConnected])
}

fn cap() -> impl Strategy<Value = Cap> {
    prop::sample::select(super::samples::CAPS.to_vec())
}

fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        prop::sample::select(super::samples::reasons()),
        node().prop_map(Reason::OwnerUnreachable),
        status().prop_map(Reason::NotReady),
        cap().prop_map(Reason::Busy),
        (any::<u32>(), any::<u32>()).prop_map(|(ours, theirs)| Reason::OtherVersion { ours, theirs }),
        (any::<u64>(), any::<u64>()).prop_map(|(bytes, bytes_max)| Reason::TooLarge { bytes, bytes_max }),
        ".{0,40}".prop_map(Reason::Panicked),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        body().prop_map(Outcome::Done),
        body().prop_map(Outcome::Failed),
        reason().prop_map(Outcome::Aborted),
        reason().prop_map(Outcome::NotExecuted),
        reason().prop_map(Outcome::Unknown),
    ]
}

fn end() -> impl Strategy<Value = TaskEnd> {
    prop_oneof![
        body().prop_map(TaskEnd::Done),
        body().prop_map(TaskEnd::Failed),
        Just(TaskEnd::Stopped),
        reason().prop_map(TaskEnd::Aborted),
        Just(TaskEnd::Lost),
        Just(TaskEnd::Killed),
    ]
}

fn event_body() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        body().prop_map(EventBody::Emitted),
        any::<u64>().prop_map(|through| EventBody::Gap { through }),
        end().prop_map(EventBody::Ended),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    let on_disconnect = prop_oneof![
        Just(OnDisconnect::Keep),
        any::<u64>().prop_map(|milliseconds| OnDisconnect::StopAfter { milliseconds }),
    ];
    prop_oneof![
        (class(), body()).prop_map(|(class, body)| Verb::Request { class, body }),
        (class(), body(), on_disconnect, option::of(instance())).prop_map(
            |(class, body, on_disconnect, instance)| Verb::Start { class, body, on_disconnect, instance }
        ),
        (task(), id(), any::<u64>(), body()).prop_map(|(task, stream, sequence, body)| {
            Verb::Command { task, stream: CommandStream(stream), sequence, body }
        }),
        task().prop_map(|task| Verb::Output { task }),
        (task(), any::<u64>()).prop_map(|(task, grace_ms)| Verb::Stop { task, grace_ms }),
        task().prop_map(|task| Verb::Kill { task }),
    ]
}

fn hosting() -> impl Strategy<Value = Hosting> {
    prop_oneof![
        Just(Hosting::Unknown),
        Just(Hosting::NotConnected),
        Just(Hosting::Between),
        (fence(), generation()).prop_map(|(fence, generation)| Hosting::Hosted { fence, generation }),
    ]
}

fn of_ownership() -> impl Strategy<Value = Message> {
    prop_oneof![
        (roster(), fence(), option::of(node()), option::of(body()), vec(standby(), 0..4)).prop_map(
            |(roster, last_fence, sees_down, handover_token, standbys)| {
                Attach { roster, last_fence, sees_down, handover_token, standbys }.into()
            }
        ),
        (fence(), status(), labels(), vec(class(), 0..4), any::<u32>()).prop_map(
            |(fence, status, labels, classes, tasks)| {
                Attached { fence, status, labels, classes, tasks }.into()
            }
        ),
        (fence(), task(), class(), any::<u64>(), option::of(body()), option::of(instance())).prop_map(
            |(fence, task, class, acked, checkpoint, instance)| {
                TaskSnapshot { fence, task, class, acked, checkpoint, instance }.into()
            }
        ),
        (node(), fence()).prop_map(|(present, fence)| Nack { present, fence }.into()),
        (standby(), roster()).prop_map(|(owner, roster)| Redirect { owner, roster }.into()),
        (fence(), standby()).prop_map(|(fence, owner)| Release { fence, owner }.into()),
        fence().prop_map(|fence| StandDown { fence }.into()),
        (fence(), roster(), option::of(vec(standby(), 0..4))).prop_map(|(fence, roster, standbys)| Beat {
            fence,
            roster,
            standbys
        }
        .into()),
        (fence(), status(), any::<u32>(), option::of(labels()))
            .prop_map(|(fence, status, tasks, labels)| Report { fence, status, tasks, labels }.into()),
        (fence(), usage()).prop_map(|(fence, usage)| Gauge { fence, usage }.into()),
        node().prop_map(|owner| Stranded { owner }.into()),
    ]
}

fn of_work() -> impl Strategy<Value = Message> {
    prop_oneof![
        (fence(), task(), any::<u64>(), option::of(body()))
            .prop_map(|(fence, task, through, checkpoint)| Ack { fence, task, through, checkpoint }.into()),
        (id(), fence(), generation(), any::<u64>(), verb()).prop_map(
            |(id, fence, generation, remaining_ms, verb)| {
                Call { id, fence, generation, remaining_ms, verb }.into()
            }
        ),
        id().prop_map(|id| Cancel { id }.into()),
        (id(), outcome()).prop_map(|(id, outcome)| OutcomeOf { id, outcome }.into()),
        (fence(), task(), any::<u64>(), event_body()).prop_map(|(fence, task, sequence, body)| Event {
            fence,
            task,
            sequence,
            body
        }
        .into()),
    ]
}

fn between_controls() -> impl Strategy<Value = Message> {
    prop_oneof![
        (node(), id(), generation(), any::<u64>(), verb()).prop_map(
            |(worker, id, generation, remaining_ms, verb)| {
                Forward { worker, id, generation, remaining_ms, verb }.into()
            }
        ),
        (node(), id()).prop_map(|(worker, id)| ForwardCancel { worker, id }.into()),
        (id(), outcome()).prop_map(|(id, outcome)| ForwardOutcome { id, outcome }.into()),
        node().prop_map(|worker| Locate(worker).into()),
        (node(), hosting()).prop_map(|(worker, hosting)| Located { worker, hosting }.into()),
        (node(), generation()).prop_map(|(worker, generation)| Wanted { worker, generation }.into()),
        (
            node(),
            generation(),
            fence(),
            any::<(u64, u64)>(),
            body(),
            prop::collection::vec((task(), body()), 0..3)
        )
            .prop_map(|(worker, generation, fence, (number, valid_ms), token, states)| {
                let states = states.into_iter().map(|(task, state)| TaskState { task, state }).collect();
                Offer { worker, generation, fence, number, valid_ms, token, states }.into()
            }),
        (node(), fence(), any::<u64>()).prop_map(|(worker, fence, number)| Declined {
            worker,
            fence,
            number
        }
        .into()),
        (any::<u64>(), prop::option::of(node()))
            .prop_map(|(question, after)| List { question, after }.into()),
        (any::<u64>(), prop::collection::vec(hosted(), 0..3), any::<bool>())
            .prop_map(|(question, workers, more)| Listed { question, workers, more }.into()),
    ]
}

fn hosted() -> impl Strategy<Value = HostedWorker> {
    let classes = prop::collection::vec(class(), 0..3);
    (node(), generation(), fence(), status(), any::<u32>(), labels(), classes, usage()).prop_map(
        |(worker, generation, fence, status, tasks, labels, classes, usage)| HostedWorker {
            worker,
            generation,
            fence,
            status,
            tasks,
            labels,
            classes,
            usage,
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<[Option<u8>; 4]>().prop_map(|[memory_percent, cpu_percent, load_percent, disk_percent]| Usage {
        memory_percent,
        cpu_percent,
        load_percent,
        disk_percent,
    })
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![9 => of_ownership(), 5 => of_work(), 5 => between_controls()]
}

pub(crate) fn opening() -> impl Strategy<Value = Opening> {
    let transfer = || any::<u64>().prop_map(TransferId);
    prop_oneof![
        Just(Opening::Session),
        Just(Opening::Peer),
        Just(Opening::Gossip),
        Just(Opening::News),
        (fence(), generation(), task(), transfer()).prop_map(|(fence, generation, task, transfer)| {
            Opening::Transfer { fence, generation, task, transfer }
        }),
        (node(), generation(), task(), transfer()).prop_map(|(worker, generation, task, transfer)| {
            Opening::PeerTransfer { worker, generation, task, transfer }
        }),
        (fence(), generation(), task(), transfer(), note()).prop_map(
            |(fence, generation, task, transfer, note)| {
                Opening::Fetch { fence, generation, task, transfer, note }
            }
        ),
        (node(), generation(), task(), transfer(), note()).prop_map(
            |(worker, generation, task, transfer, note)| {
                Opening::PeerFetch { worker, generation, task, transfer, note }
            }
        ),
    ]
}

fn note() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=FETCH_NOTE_BYTES_MAX).prop_map(Bytes::from)
}

pub(crate) fn transfer_reply() -> impl Strategy<Value = TransferReply> {
    prop_oneof![
        (any::<u64>(), any::<[u8; 32]>())
            .prop_map(|(bytes, blake3)| TransferReply::Received(Receipt { bytes, blake3 })),
        reason().prop_map(TransferReply::Refused),
        Just(TransferReply::Abandoned),
        Just(TransferReply::Corrupt),
        ".{0,60}".prop_map(TransferReply::Failed),
        Just(TransferReply::Begun),
    ]
}
