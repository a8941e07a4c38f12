//! What the worker's core bears from its control nodes, and what it keeps.

#![allow(clippy::disallowed_methods, reason = "any instant will do")]

use super::*;
use crate::session::Violation;
use crate::transmit::Transmit;
use crate::wire::{Attach, Beat, Call, Cancel, DecodeError, Frame, Kind, Nack, StandDown, Verb};
use phalanx_base::{Fence, Lane, RosterVersion};

fn boot(name: &str) -> Boot {
    Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
}

fn class() -> ClassName {
    ClassName { name: "test".into(), version: 1 }
}

fn worker(config: Config) -> WorkerCore {
    let labels = Labels::default();
    WorkerCore::new(
        WorkerIdentity { boot: boot("w"), role: Role::Worker, labels, classes: vec![class()] },
        config,
    )
}

fn attach() -> Frame {
    let (roster, last_fence) = (RosterVersion(1), Fence(0));
    Message::from(Attach { roster, last_fence, sees_down: None, handover_token: None, standbys: Vec::new() })
        .to_frame()
}

fn beat(fence: u64) -> Frame {
    Message::from(Beat { fence: Fence(fence), roster: RosterVersion(1), standbys: None }).to_frame()
}

fn call(sequence: u64, fence: u64, verb: Verb) -> Frame {
    let id = CallId { caller: boot("a"), sequence };
    let call =
        Call { id, fence: Fence(fence), generation: Generation::from_u64(1), remaining_ms: 1_000, verb };
    Message::from(call).to_frame()
}

fn start() -> Verb {
    let on_disconnect = crate::wire::OnDisconnect::Keep;
    Verb::Start { class: class(), body: Bytes::new(), on_disconnect, instance: None }
}

fn sent(worker: &mut WorkerCore) -> Vec<Message> {
    std::iter::from_fn(|| worker.poll_transmit())
        .map(|Transmit { frame, .. }| Message::from_frame(&frame).unwrap())
        .collect()
}

fn attached(now: Instant, config: Config) -> WorkerCore {
    let mut worker = worker(config);
    worker.handle_session(now, LinkId(1), boot("a"));
    worker.handle_frame(now, LinkId(1), Lane::Control, &attach()).unwrap();
    assert!(matches!(sent(&mut worker)[..], [Message::Attached(_)]));
    worker
}

fn goes_on(on_disconnect: crate::wire::OnDisconnect) -> crate::tasks::TaskStart {
    crate::tasks::TaskStart { class: class(), instance: None, on_disconnect, waits: false }
}

#[test]
fn what_breaks_the_rules_has_no_effect() {
    let now = Instant::now();
    let mut worker = worker(Config::default());
    worker.handle_session(now, LinkId(1), boot("a"));
    let mut refuse = |lane, frame: &Frame| worker.handle_frame(now, LinkId(1), lane, frame).unwrap_err();
    let stand_down = Message::from(StandDown { fence: Fence(1) }).to_frame();
    assert_eq!(refuse(Lane::Control, &stand_down), Violation::NotPermitted(Kind::StandDown));
    assert_eq!(refuse(Lane::Request, &attach()), Violation::WrongLane(Kind::Attach, Lane::Request));
    assert_eq!(refuse(Lane::Control, &beat(1)), Violation::OutOfOrder(Kind::Beat));
    let nonsense = Frame { kind: Kind::Attach as u8, body: Bytes::from_static(&[0xff]) };
    assert_eq!(refuse(Lane::Control, &nonsense), Violation::Decode(DecodeError::Body(Kind::Attach)));
    assert_eq!((worker.poll_transmit(), worker.poll_event(), worker.owner()), (None, None, None));
    assert_eq!(worker.handle_frame(now, LinkId(7), Lane::Control, &attach()), Ok(()), "no such session");
    assert_eq!(worker.owner(), None);
}

#[test]
fn a_claim_on_a_second_link_is_refused_and_nothing_else_runs_there() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    worker.handle_session(now, LinkId(2), boot("b"));
    worker.handle_frame(now, LinkId(2), Lane::Control, &attach()).unwrap();
    assert_eq!(sent(&mut worker), [Nack { present: boot("a").node, fence: Fence(1) }.into()]);
    worker.handle_frame(now, LinkId(2), Lane::Request, &call(1, 1, start())).unwrap();
    assert!(matches!(
        &sent(&mut worker)[..],
        [Message::Outcome(said)] if said.outcome == Outcome::NotExecuted(Reason::Fenced)
    ));
    assert_eq!(worker.running_tasks(), 0);
}

#[test]
fn events_wait_for_the_first_beat_under_the_fence() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    worker.handle_frame(now, LinkId(1), Lane::Request, &call(1, 1, start())).unwrap();
    worker.handle_emit(&TaskId(CallId { caller: boot("a"), sequence: 1 }), Bytes::from_static(b"1"));
    assert!(matches!(sent(&mut worker)[..], [Message::Outcome(_)]));
    worker.handle_frame(now, LinkId(1), Lane::Control, &beat(1)).unwrap();
    assert!(matches!(sent(&mut worker)[..], [Message::Event(_)]));
    // A new session starts anew.
    worker.handle_link_lost(now, LinkId(1));
    worker.handle_session(now, LinkId(2), boot("a"));
    worker.handle_frame(now, LinkId(2), Lane::Control, &attach()).unwrap();
    assert!(matches!(sent(&mut worker)[..], [Message::Attached(_), Message::TaskSnapshot(_)]));
    worker.handle_frame(now, LinkId(2), Lane::Control, &beat(1)).unwrap();
    assert!(sent(&mut worker).is_empty(), "a beat under an old fence");
    worker.handle_frame(now, LinkId(2), Lane::Control, &beat(2)).unwrap();
    assert!(matches!(sent(&mut worker)[..], [Message::Event(_)]));
}

#[test]
fn waiting_for_an_end_takes_no_place_of_a_request() {
    let now = Instant::now();
    let config = Config { running_requests_max: 1, tasks_max: 1, ..Config::default() };
    let mut worker = attached(now, config);
    let task = TaskId(CallId { caller: boot("a"), sequence: 1 });
    let request = || Verb::Request { class: class(), body: Bytes::new() };
    let output = || Verb::Output { task: task.clone() };
    let verbs = [start(), output(), output(), output(), request(), request()];
    for (sequence, verb) in (1..).zip(verbs) {
        worker.handle_frame(now, LinkId(1), Lane::Request, &call(sequence, 1, verb)).unwrap();
    }
    let refused: Vec<u64> = sent(&mut worker)
        .into_iter()
        .filter_map(|message| match message {
            Message::Outcome(said) if matches!(said.outcome, Outcome::NotExecuted(_)) => {
                Some(said.id.sequence)
            }
            _ => None,
        })
        .collect();
    assert_eq!(refused, [6]);
    worker.handle_timeout(now + Duration::from_secs(1));
    assert_eq!((worker.running_requests, worker.running.len(), worker.deadlines.len()), (0, 0, 0));
}

#[test]
fn a_time_that_lies_in_the_far_future_is_cut_short() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    let id = CallId { caller: boot("a"), sequence: 1 };
    let verb = Verb::Request { class: class(), body: Bytes::new() };
    let generation = Generation::from_u64(1);
    let call = Call { id: id.clone(), fence: Fence(1), generation, remaining_ms: u64::MAX, verb };
    worker.handle_frame(now, LinkId(1), Lane::Request, &Message::from(call).to_frame()).unwrap();
    assert_eq!(worker.deadlines.first(), Some(&(now + CALL_TIME_MAX, id.clone())));
    let cancel = Message::from(Cancel { id }).to_frame();
    worker.handle_frame(now, LinkId(1), Lane::Request, &cancel).unwrap();
    assert!(worker.deadlines.is_empty());
}

#[test]
fn a_claim_that_was_refused_wins_when_the_owner_gives_up() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    worker.handle_session(now, LinkId(2), boot("b"));
    worker.handle_frame(now, LinkId(2), Lane::Control, &attach()).unwrap();
    assert!(matches!(sent(&mut worker)[..], [Message::Nack(_)]));
    let owner = Standby { node: boot("b").node, addresses: phalanx_base::AddressList::default() };
    let release = Message::from(crate::wire::Release { fence: Fence(1), owner }).to_frame();
    worker.handle_frame(now, LinkId(1), Lane::Control, &release).unwrap();
    assert!(matches!(&sent(&mut worker)[..], [Message::Attached(attached)] if attached.fence == Fence(2)));
    assert_eq!(worker.owner(), Some(&boot("b").node));
}

#[test]
fn a_call_without_time_left_never_begins() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    let id = CallId { caller: boot("a"), sequence: 1 };
    let generation = Generation::from_u64(1);
    let call = Call { id: id.clone(), fence: Fence(1), generation, remaining_ms: 0, verb: start() };
    worker.handle_frame(now, LinkId(1), Lane::Request, &Message::from(call).to_frame()).unwrap();
    let outcome = Outcome::NotExecuted(Reason::DeadlineExceeded);
    assert_eq!(sent(&mut worker), [Message::Outcome(crate::wire::OutcomeOf { id, outcome })]);
    assert_eq!(worker.running_tasks(), 0);
}

#[test]
fn usage_is_told_when_it_is_news_and_anew_to_each_owner() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    let gauges = |worker: &mut WorkerCore| {
        let sent = sent(worker).into_iter();
        let gauges = sent.filter_map(|message| match message {
            Message::Gauge(gauge) => gauge.usage.cpu_percent,
            _ => None,
        });
        gauges.collect::<Vec<u8>>()
    };
    let usage = |cpu| Usage { cpu_percent: Some(cpu), ..Usage::default() };
    let mut at = now;
    for (cpu, told) in [(40, vec![40]), (44, vec![]), (45, vec![45]), (45, vec![])] {
        worker.handle_usage(usage(cpu));
        at += 2 * Config::default().beat_interval;
        worker.handle_frame(at, LinkId(1), Lane::Control, &beat(1)).unwrap();
        worker.handle_timeout(at);
        assert_eq!(gauges(&mut worker), told, "{cpu}");
    }
    worker.handle_link_lost(at, LinkId(1));
    worker.handle_session(at, LinkId(2), boot("a"));
    worker.handle_frame(at, LinkId(2), Lane::Control, &attach()).unwrap();
    assert_eq!(gauges(&mut worker), [45], "an owner that knows nothing is told at once");
}

fn id(sequence: u64) -> TaskId {
    TaskId(CallId { caller: boot("a"), sequence })
}

fn began(worker: &mut WorkerCore) -> bool {
    std::iter::from_fn(|| worker.poll_event()).any(|event| matches!(event, WorkerEvent::RunTask { .. }))
}

#[test]
fn a_kept_task_goes_on_as_any_other_and_a_repeat_of_its_start_starts_nothing() {
    let now = Instant::now();
    let mut worker = worker(Config { tasks_max: 1, ..Config::default() });
    for sequence in [5, 6] {
        assert!(worker.handle_kept(now, id(sequence), goes_on(crate::wire::OnDisconnect::Keep)));
        assert!(!worker.handle_kept(now, id(sequence), goes_on(crate::wire::OnDisconnect::Keep)), "twice");
    }
    worker.handle_session(now, LinkId(1), boot("a"));
    worker.handle_frame(now, LinkId(1), Lane::Control, &attach()).unwrap();
    let welcome = sent(&mut worker);
    assert!(matches!(
        welcome[..],
        [Message::Attached(_), Message::TaskSnapshot(_), Message::TaskSnapshot(_)]
    ));
    let outcome = |worker: &mut WorkerCore, frame: &Frame| {
        worker.handle_frame(now, LinkId(1), Lane::Request, frame).unwrap();
        match &sent(worker)[..] {
            [Message::Outcome(said)] => Some(said.outcome.clone()),
            [] => None,
            other => panic!("{other:?}"),
        }
    };
    // As it was stamped where the call entered: for the boot that has ended.
    let Message::Call(mut repeat) = Message::from_frame(&call(5, 1, start())).unwrap() else { panic!() };
    repeat.generation = Generation::from_u64(0);
    let repeat = Message::from(repeat).to_frame();
    assert_eq!(outcome(&mut worker, &repeat), Some(Outcome::Done(crate::codec::unit())));
    assert!(!began(&mut worker));
    let full = Some(Outcome::NotExecuted(Reason::Busy(crate::outcome::Cap::Tasks)));
    assert_eq!(outcome(&mut worker, &call(7, 1, start())), full, "those that were kept count");
    assert_eq!(outcome(&mut worker, &call(8, 1, Verb::Output { task: id(5) })), None);
    let stream = crate::wire::CommandStream(CallId { caller: boot("a"), sequence: 9 });
    let command = Verb::Command { task: id(5), stream, sequence: 0, body: Bytes::new() };
    assert_eq!(outcome(&mut worker, &call(10, 1, command)), None);
    assert!(matches!(worker.poll_event(), Some(WorkerEvent::Command { task, .. }) if task == id(5)));
    let done = TaskEnd::Done(Bytes::from_static(b"ended"));
    worker.handle_task_end(now, &id(5), done.clone());
    let told: Vec<_> = sent(&mut worker);
    let end = Outcome::Done(crate::codec::encode_end(&done));
    assert!(
        told.iter().any(|said| matches!(said, Message::Outcome(said) if said.outcome == end)),
        "{told:?}"
    );
    let lost = Some(Outcome::NotExecuted(Reason::NoSuchTask));
    assert_eq!(outcome(&mut worker, &call(11, 1, Verb::Output { task: id(4) })), lost, "never kept");
}

#[test]
fn a_worker_that_stops_leaves_alone_what_outlives_it() {
    let now = Instant::now();
    let mut worker = attached(now, Config::default());
    for sequence in 1..=3 {
        worker.handle_frame(now, LinkId(1), Lane::Request, &call(sequence, 1, start())).unwrap();
    }
    worker.handle_outlives(&id(2), true);
    worker.handle_outlives(&id(3), true);
    // To stop one task is meant for that one, whatever it is.
    let stop = Verb::Stop { task: id(3), grace_ms: 1_000 };
    worker.handle_frame(now, LinkId(1), Lane::Request, &call(9, 1, stop)).unwrap();
    let _ = std::iter::from_fn(|| worker.poll_event()).count();
    worker.handle_stop(now, now + Duration::from_secs(9));
    let told: Vec<_> = std::iter::from_fn(|| worker.poll_event())
        .filter_map(|event| match event {
            WorkerEvent::StopTask(task, _) => Some(task),
            _ => None,
        })
        .collect();
    assert_eq!(told, [id(1), id(3)]);
    worker.handle_task_end(now, &id(1), TaskEnd::Stopped);
    assert_eq!(worker.status(), NodeStatus::Stopping);
    worker.handle_task_end(now, &id(3), TaskEnd::Stopped);
    assert_eq!(
        (worker.status(), worker.running_tasks(), worker.outliving_tasks()),
        (NodeStatus::Stopped, 1, 1)
    );
}

#[test]
fn the_time_without_an_owner_counts_for_a_kept_task_from_the_start_of_its_worker() {
    let now = Instant::now();
    let mut worker = worker(Config::default());
    let on_disconnect = crate::wire::OnDisconnect::StopAfter { milliseconds: 700 };
    assert!(worker.handle_kept(now, id(1), goes_on(on_disconnect)));
    let at = now + Duration::from_millis(700);
    assert_eq!(worker.poll_timeout(), Some(at));
    worker.handle_timeout(at);
    assert_eq!(worker.poll_event(), Some(WorkerEvent::StopTask(id(1), at + DISCONNECT_GRACE)));
}

proptest::proptest! {
    /// Whatever was kept, and of whichever boots of a caller: an id that was kept begins nothing, however often and for
    /// whichever boot it is asked for; every other one begins once at most.
    #[test]
    fn what_was_kept_never_starts_again(
        kept in proptest::collection::btree_set((1_u64..4, 0_u64..12), 0..10),
        asked in proptest::collection::vec((1_u64..4, 0_u64..12, 0_u64..3), 1..60),
    ) {
        let now = Instant::now();
        let named = |generation, sequence| {
            let generation = Generation::from_u64(generation);
            CallId { caller: Boot { node: boot("a").node, generation }, sequence }
        };
        let mut worker = worker(Config::default());
        for (generation, sequence) in &kept {
            let task = TaskId(named(*generation, *sequence));
            assert!(worker.handle_kept(now, task, goes_on(crate::wire::OnDisconnect::Keep)));
        }
        worker.handle_session(now, LinkId(1), boot("a"));
        worker.handle_frame(now, LinkId(1), Lane::Control, &attach()).unwrap();
        let mut begun = std::collections::BTreeSet::new();
        for (generation, sequence, stamped) in asked {
            let Message::Call(mut start) = Message::from_frame(&call(sequence, 1, start())).unwrap() else { panic!() };
            start.id = named(generation, sequence);
            start.generation = Generation::from_u64(stamped);
            worker.handle_frame(now, LinkId(1), Lane::Request, &Message::from(start).to_frame()).unwrap();
            if began(&mut worker) {
                assert!(!kept.contains(&(generation, sequence)));
                assert!(begun.insert((generation, sequence)));
                assert_eq!(stamped, 1);
            }
        }
        assert_eq!(worker.running_tasks(), kept.len() + begun.len());
    }
}
