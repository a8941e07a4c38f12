//! The messages as bytes: everything survives the way, nothing that comes breaks it, and the bytes stay as they are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use phalanx::{
    Address, Boot, Class, Count, Fence, Generation, Instance, JobSpec, NodeId, NodeStatus, TaskState, Usage,
};
use phalanx_operator::{
    ControlStatus, Event, EventKind, Failure, FailureKind, Formation, JobDetails, JobLine, Joined, Liveness,
    Member, MemberState, Node, Part, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, Request, SocketStatus,
    Status, StrategyStatus, TaskTold, WireError,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn node_id() -> impl Strategy<Value = NodeId> {
    "[a-z0-9.-]{1,64}".prop_map(|name| NodeId::new(&name).unwrap())
}

fn address() -> impl Strategy<Value = Address> {
    any::<std::net::SocketAddr>().prop_map(Address::from)
}

fn boot() -> impl Strategy<Value = Boot> {
    (node_id(), any::<u64>())
        .prop_map(|(node, number)| Boot { node, generation: Generation::from_u64(number) })
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Status),
        Just(Request::Nodes),
        node_id().prop_map(Request::Node),
        option::of(any::<u64>()).prop_map(|since| Request::Events { since }),
        vec(address(), 0..4).prop_map(Request::Join),
        Just(Request::Leave),
        Just(Request::Calls),
        Just(Request::Jobs),
        "[a-z/]{1,9}".prop_map(|name| Request::Job(name.parse().unwrap())),
        payload().prop_map(|body| Request::ApplyJob(Box::new(JobSpec { body, ..spec() }))),
        node_id().prop_map(Request::Remove),
        node_id().prop_map(Request::Forget),
        (node_id(), option::of("[a-z]{1,9}")).prop_map(|(node, labels)| Request::SetLabels {
            node,
            labels: labels.map(|labels| labels.parse().unwrap()),
        }),
        (".{0,40}", payload()).prop_map(|(name, payload)| Request::Publish { name, payload }),
    ]
}

fn worker() -> impl Strategy<Value = Node> {
    (node_id(), node_id(), any::<u64>(), any::<u32>(), vec("[a-z]{1,9}/[0-9]", 0..3)).prop_map(
        |(node, owner, number, tasks, classes)| Node {
            node,
            generation: Generation::from_u64(number),
            owner,
            fence: Fence(number),
            status: NodeStatus::Ready,
            tasks,
            labels: "core;group=a".parse().unwrap(),
            classes,
            usage: Usage { cpu_percent: Some(7), ..Usage::default() },
        },
    )
}

fn task_told() -> impl Strategy<Value = TaskTold> {
    (node_id(), ".{0,20}", "[a-z]{1,9}/[0-9]", option::of(any::<u64>())).prop_map(
        |(node, task, class, attempt)| TaskTold {
            node,
            task,
            class,
            instance: attempt.map(|attempt| Instance::new("web", "0", attempt).unwrap()),
        },
    )
}

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (boot(), option::of(address())).prop_map(|(node, address)| EventKind::Joined { node, address }),
        boot().prop_map(EventKind::Down),
        (node_id(), option::of(any::<u64>().prop_map(Fence))).prop_map(|(node, hosted)| EventKind::Worker {
            node,
            status: NodeStatus::NotConnected,
            hosted
        }),
        (node_id(), ".{0,20}", payload()).prop_map(|(from, name, payload)| EventKind::User {
            from,
            name,
            payload
        }),
        any::<u64>().prop_map(|count| EventKind::Missed { count }),
        any::<u64>().prop_map(|after| EventKind::Gap { after }),
        Just(EventKind::PartitionEnded),
        task_told().prop_map(EventKind::TaskStarted),
        (task_told(), ".{0,40}").prop_map(|(task, reason)| EventKind::TaskStopped {
            task,
            state: TaskState::Killed,
            reason
        }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Done),
        ".{0,60}".prop_map(|words| Reply::Failed(Failure::new(FailureKind::NotFound, words))),
        (vec(worker(), 0..4), vec(node_id(), 0..3), any::<bool>())
            .prop_map(|(nodes, silent, more)| Reply::Nodes { nodes, silent, more }),
        (any::<u64>(), any::<u64>(), kind()).prop_map(|(number, unix_ms, kind)| Reply::Event(Event {
            number,
            unix_ms,
            kind
        })),
        Just(Reply::CaughtUp),
        (address(), prop_oneof![node_id().prop_map(Ok), ".{0,40}".prop_map(Err)])
            .prop_map(|(address, outcome)| Reply::Joined(vec![Joined { address, outcome }])),
        Just(Reply::Leaving),
        boot().prop_map(Reply::Calls),
    ]
}

proptest! {
    #[test]
    fn every_message_survives_the_way(request in request(), reply in reply()) {
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
        prop_assert_eq!(Reply::decode(&reply.encode().unwrap()), Ok(reply));
    }

    #[test]
    fn whatever_comes_is_a_message_or_an_error(bytes in vec(any::<u8>(), 0..300), version in any::<bool>()) {
        let bytes = if version { [vec![1], bytes].concat() } else { bytes };
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
        }
        if let Ok(reply) = Reply::decode(&bytes) {
            prop_assert_eq!(Reply::decode(&reply.encode().unwrap()), Ok(reply));
        }
    }

    #[test]
    fn a_message_that_is_cut_short_or_goes_on_is_refused(request in request(), cut in 1_usize..20) {
        let bytes = request.encode().unwrap();
        let short = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert!(Request::decode(short).is_err());
        prop_assert_eq!(Request::decode(&[&bytes[..], &[0]].concat()), Err(WireError::Malformed));
    }
}

#[test]
fn lengths_and_versions_are_checked_first() {
    let payload = Bytes::from(vec![0; REQUEST_BYTES_MAX]);
    let request = Request::Publish { name: "n".to_owned(), payload };
    assert!(matches!(request.encode(), Err(WireError::TooLong { max: REQUEST_BYTES_MAX, .. })));
    let zeros = vec![0; REPLY_BYTES_MAX + 1];
    assert!(matches!(Reply::decode(&zeros), Err(WireError::TooLong { max: REPLY_BYTES_MAX, .. })));
    assert_eq!(Request::decode(&[]), Err(WireError::Empty));
    assert_eq!(Request::decode(&[2, 0]), Err(WireError::Version { theirs: 2 }));
}

/// What every version that speaks version 1 must send and understand.
fn spec() -> JobSpec {
    let class = Class { name: "web".into(), version: 1 };
    JobSpec::new("shop/web".parse().unwrap(), class, Bytes::from_static(&[7]), Count::Exactly(3))
}

fn recorded() -> (Vec<Request>, Vec<Reply>) {
    let id = |name: &str| NodeId::new(name).unwrap();
    let boot = |name: &str| Boot { node: id(name), generation: Generation::from_u64(258) };
    let address: Address = "10.0.0.1:7000".parse().unwrap();
    let requests = vec![
        Request::Status,
        Request::Nodes,
        Request::Node(id("a")),
        Request::Events { since: Some(300) },
        Request::Join(vec![address.clone()]),
        Request::Leave,
        Request::Remove(id("a")),
        Request::Forget(id("a")),
        Request::Publish { name: "n".into(), payload: Bytes::from_static(&[7]) },
        Request::Calls,
        Request::Jobs,
        Request::Job(spec().name),
        Request::ApplyJob(Box::new(spec())),
        Request::RemoveJob(spec().name),
        Request::SetLabels { node: id("a"), labels: Some("core;group=a".parse().unwrap()) },
        Request::SetLabels { node: id("a"), labels: None },
    ];
    let member = Member {
        node: boot("a"),
        liveness: Liveness::Suspect,
        state: Some(MemberState::Active),
        addresses: vec![address.clone()],
        weight: 1,
        zone: "z".into(),
    };
    let status = Status {
        cluster: "media".into(),
        node: boot("a"),
        listen: "10.0.0.1:7000".parse().unwrap(),
        version: "0.1.0".into(),
        ready: false,
        explanation: "why".into(),
        part: Part::Control(ControlStatus {
            cluster_id: "id".into(),
            formation: Formation::Forming { seen: 1, expected: 3 },
            majority: true,
            members: vec![member],
            hosted: 2,
            discovery: vec![StrategyStatus { name: "Etcd".into(), found: 1, error: Some("e".into()) }],
            sockets: vec![SocketStatus {
                socket: "10.0.0.2:7000".parse().unwrap(),
                node: None,
                error: Some("e".into()),
            }],
        }),
    };
    let event = |kind| Reply::Event(Event { number: 300, unix_ms: 1_000, kind });
    let told = TaskTold {
        node: id("b"),
        task: "a@1/7".into(),
        class: "double/1".into(),
        instance: Some(Instance::new("web", "0", 3).unwrap()),
    };
    let line = JobLine {
        name: spec().name,
        version: 2,
        class: "web/1".into(),
        desired: Some(3),
        running: 2,
        status: "placed".into(),
    };
    let replies = vec![
        Reply::Done,
        Reply::Failed(Failure::new(FailureKind::ControlOnly, "no")),
        Reply::Status(Box::new(status)),
        Reply::Nodes { nodes: Vec::new(), silent: vec![id("b")], more: false },
        event(EventKind::Joined { node: boot("a"), address: Some(address.clone()) }),
        event(EventKind::User { from: id("a"), name: "n".into(), payload: Bytes::from_static(&[7]) }),
        event(EventKind::Gap { after: 5 }),
        event(EventKind::PartitionSuspected { away: vec![id("a")] }),
        event(EventKind::PartitionEnded),
        event(EventKind::TaskStarted(told.clone())),
        event(EventKind::TaskStopped { task: told, state: TaskState::Failed, reason: "why".into() }),
        Reply::CaughtUp,
        Reply::Joined(vec![Joined { address, outcome: Err("e".into()) }]),
        Reply::Leaving,
        Reply::Calls(boot("a")),
        Reply::Jobs { jobs: vec![line], more: true },
        Reply::Job(Box::new(JobDetails {
            spec: spec(),
            status: "placed".into(),
            instances: Vec::new(),
            more: 1,
        })),
        Reply::Applied(Box::new(spec())),
        event(EventKind::Job {
            job: "shop/web".into(),
            attempt: Some("shop/web[0]#1".into()),
            node: Some(id("a")),
            what: "running".into(),
            reason: String::new(),
        }),
    ];
    (requests, replies)
}

#[test]
fn the_bytes_stay_as_they_are() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (requests, replies) = recorded();
    let requests = requests.iter().map(|request| hex(&request.encode().unwrap()));
    let replies = replies.iter().map(|reply| hex(&reply.encode().unwrap()));
    let all: Vec<String> = requests.chain(replies).collect();
    let vectors: Vec<&str> = include_str!("vectors.txt").lines().collect();
    assert_eq!(all, vectors, "the wire form has changed: that needs a version of its own");
}
