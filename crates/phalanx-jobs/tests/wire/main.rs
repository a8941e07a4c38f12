//! The codec: what is encoded decodes to the same, what is not is refused, and no byte of the wire ever changes.

mod samples;
mod strategies;

use std::fmt::Write as _;
use std::time::Instant;

use bytes::Bytes;
use phalanx_base::{Boot, Fence, Generation, Lane, RosterVersion};
use phalanx_jobs::wire::*;
use phalanx_jobs::{Admitted, CLASS_NAME_BYTES_MAX, Config, LinkId, Session, Side, Violation};
use proptest::prelude::*;

/// What was recorded when the wire was frozen: a line a frame, the kind's byte and the body, in hexadecimal.
const RECORDED: &str = include_str!("../vectors/wire-1.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn unhex(text: &str) -> Bytes {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("the record is well-formed");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn recorded() -> Vec<Frame> {
    RECORDED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split(' ');
            let kind = unhex(words.next().expect("the record is well-formed"))[0];
            Frame { kind, body: unhex(words.next().expect("the record is well-formed")) }
        })
        .collect()
}

/// A change of a byte here is a new version of the wire, and a new file beside the old one.
#[test]
fn the_wire_is_what_it_was() {
    let frames = samples::frames();
    let mut text = String::new();
    for frame in &frames {
        writeln!(text, "{:02x} {}", frame.kind, hex(&frame.body)).unwrap();
    }
    let same = recorded() == frames;
    assert!(same, "the wire has changed; this is what it would be now:\n{text}");
}

#[test]
fn what_was_recorded_decodes() {
    let decoded: Vec<Message> =
        recorded().iter().filter_map(|frame| Message::from_frame(frame).ok()).collect();
    assert_eq!(decoded, samples::messages());
    let openings: Vec<Opening> =
        recorded().iter().filter_map(|frame| Opening::from_frame(frame).ok()).collect();
    let mut expected = samples::openings();
    expected.extend([Opening::News, Opening::Gateway]);
    expected.extend(samples::fetches());
    expected.push(Opening::Metadata);
    assert_eq!(openings, expected);
    let replies: Vec<TransferReply> =
        recorded().iter().filter_map(|frame| TransferReply::from_frame(frame).ok()).collect();
    assert_eq!(replies, samples::transfer_replies());
    let published: Vec<Published> =
        recorded().iter().filter_map(|frame| Published::from_frame(frame).ok()).collect();
    assert_eq!(published, samples::published());
    assert!(published.iter().all(Published::is_within_bounds));
    let call = recorded().iter().find_map(|frame| GatewayCall::from_frame(frame).ok());
    let cancel = recorded().iter().find_map(|frame| GatewayCancel::from_frame(frame).ok());
    let outcome = recorded().iter().find_map(|frame| GatewayOutcome::from_frame(frame).ok());
    assert_eq!(call.zip(cancel).zip(outcome), Some(samples::gateway()));
}

#[test]
fn news_beyond_their_bounds_are_known_as_such() {
    let [Published { origin, .. }, ..] = &samples::published()[..] else { panic!("there are samples") };
    let news = |name: usize, payload: usize| Published {
        origin: origin.clone(),
        number: 1,
        news: News::User { name: "n".repeat(name), payload: vec![0; payload].into() },
    };
    assert!(news(NEWS_NAME_BYTES_MAX, NEWS_BYTES_MAX).is_within_bounds());
    let longest = news(NEWS_NAME_BYTES_MAX, NEWS_BYTES_MAX).to_frame().body.len();
    assert!(longest <= rule(Kind::Published as u8).unwrap().bytes_max);
    for (name, payload) in [(0, 0), (NEWS_NAME_BYTES_MAX + 1, 0), (1, NEWS_BYTES_MAX + 1)] {
        assert!(!news(name, payload).is_within_bounds());
    }
}

#[test]
fn each_kind_and_each_reason_is_recorded() {
    for rule in FRAME_RULES {
        assert!(recorded().iter().any(|frame| frame.kind == rule.kind as u8), "{:?}", rule.kind);
    }
    let mut tags: Vec<String> =
        samples::reasons().iter().map(|reason| hex(&postcard::to_stdvec(reason).unwrap()[..1])).collect();
    tags.dedup();
    assert_eq!(tags.len(), 25, "each variant of a reason is among them, in the order of the wire");
    assert!(postcard::from_bytes::<phalanx_jobs::Reason>(&[25, 0, 0, 0]).is_err(), "there is no other");
}

#[test]
fn the_rules_of_the_table_are_what_they_were() {
    let rules: Vec<(u8, u8, bool, usize)> = FRAME_RULES
        .iter()
        .map(|rule| (rule.kind as u8, rule.lane.code(), rule.fenced, rule.bytes_max))
        .collect();
    let (small, medium, checkpoint, payload) = (1_024, 16_384, 66_560, 1_049_600);
    assert_eq!(
        rules,
        [
            (1, 1, false, small),
            (10, 1, false, medium),
            (11, 1, false, medium),
            (12, 1, true, checkpoint),
            (13, 1, false, small),
            (14, 1, false, medium),
            (15, 1, true, medium),
            (16, 1, true, small),
            (17, 1, true, medium),
            (18, 1, true, medium),
            (19, 1, true, checkpoint),
            (20, 1, true, small),
            (21, 1, false, small),
            (30, 2, false, payload),
            (31, 2, false, small),
            (32, 2, false, payload),
            (40, 3, true, payload),
            (50, 4, false, 262_144),
            (51, 4, false, small),
            (52, 4, false, small),
            (60, 2, false, payload),
            (61, 2, false, small),
            (62, 2, false, payload),
            (63, 2, false, small),
            (64, 2, false, small),
            (65, 2, false, small),
            (66, 2, false, 1_048_576),
            (67, 2, false, small),
            (68, 2, false, small),
            (69, 2, false, 1_048_576),
            (70, 1, false, 1_048_576),
            (80, 3, false, 66_560),
            (81, 3, false, 262_144),
            (90, 2, false, payload),
            (91, 2, false, small),
            (92, 2, false, payload),
        ]
    );
}

fn session() -> Session {
    let peer = Boot { node: samples::node("a"), generation: Generation::from_u64(1) };
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    Session::new(now, Side::Worker, peer, &samples::node("w"), (LinkId(1), false), &Config::default())
}

#[test]
fn a_frame_over_its_cap_is_refused_before_it_is_decoded() {
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    for rule in FRAME_RULES.iter().filter(|rule| rule.direction == Direction::ToWorker) {
        let frame = Frame { kind: rule.kind as u8, body: Bytes::from(vec![0; rule.bytes_max + 1]) };
        assert_eq!(session().admit(now, rule.lane, &frame), Err(Violation::TooLarge(rule.kind)));
    }
    let attach = samples::messages().remove(0).to_frame();
    assert!(matches!(session().admit(now, Lane::Control, &attach), Ok(Admitted::Message(_))));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // A snapshot whose node name claims to have 2^63 bytes, and an attach with as many standbys.
    let lying = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let mut snapshot = vec![5];
    snapshot.extend(lying);
    let mut attach = vec![1, 0, 0, 0];
    attach.extend(lying);
    for (kind, body) in [(Kind::TaskSnapshot, snapshot), (Kind::Attach, attach)] {
        let frame = Frame { kind: kind as u8, body: body.into() };
        assert_eq!(Message::from_frame(&frame), Err(DecodeError::Body(kind)));
    }
}

/// The greatest address list that a node can have, under the longest name.
fn greatest_standby() -> Standby {
    let host = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let address: phalanx_base::Address =
        format!("phalanx://{host}:65535;transport=quic").parse().expect("it is within its limits");
    let addresses = phalanx_base::AddressList::new(std::iter::repeat_n(address, 16)).expect("16 are allowed");
    Standby { node: samples::node(&"n".repeat(64)), addresses }
}

fn greatest_labels() -> phalanx_base::Labels {
    let items: Vec<String> = (10..73).map(|number| format!("i{number};{}", "k".repeat(60))).collect();
    let labels: phalanx_base::Labels = items.join(",").parse().expect("they are within their limits");
    assert!(labels.to_string().len() > phalanx_base::Labels::LENGTH_MAX - 60);
    labels
}

/// The greatest that a correct node can have to say.
#[test]
fn the_greatest_messages_are_within_their_caps() {
    let id = |sequence| CallId {
        caller: Boot { node: samples::node(&"n".repeat(64)), generation: Generation::from_u64(u64::MAX) },
        sequence,
    };
    let (task, fence) = (TaskId(id(u64::MAX)), Fence(u64::MAX));
    let owner = greatest_standby();
    let standbys = vec![owner.clone(); 3];
    let class = ClassName { name: "c".repeat(CLASS_NAME_BYTES_MAX).into(), version: u32::MAX };
    let (job, name) = ("j".repeat(JOB_NAME_BYTES_MAX), "i".repeat(INSTANCE_NAME_BYTES_MAX));
    let instance = Instance::new(job, name, u64::MAX).expect("they are within their limits");
    let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX]);
    let checkpoint = Some(Bytes::from(vec![0; CHECKPOINT_BYTES_MAX]));
    let labels = greatest_labels();
    let (roster, node) = (RosterVersion(u64::MAX), samples::node(&"n".repeat(64)));
    let generation = Generation::from_u64(u64::MAX);
    let command = Verb::Command {
        task: task.clone(),
        stream: CommandStream(id(1)),
        sequence: u64::MAX,
        body: payload.clone(),
    };
    let start = Verb::Start {
        class: class.clone(),
        body: payload.clone(),
        on_disconnect: OnDisconnect::StopAfter { milliseconds: u64::MAX },
        instance: Some(instance.clone()),
    };
    let done = phalanx_jobs::Outcome::Done(payload.clone());
    let messages: Vec<Message> = vec![
        Attach {
            roster,
            last_fence: fence,
            sees_down: Some(node.clone()),
            handover_token: None,
            standbys: standbys.clone(),
        }
        .into(),
        Attached {
            fence,
            status: phalanx_base::NodeStatus::NotConnected,
            labels: labels.clone(),
            classes: vec![class.clone(); phalanx_jobs::JOB_CLASSES_MAX],
            tasks: u32::MAX,
        }
        .into(),
        TaskSnapshot {
            fence,
            task: task.clone(),
            class: class.clone(),
            acked: u64::MAX,
            checkpoint: checkpoint.clone(),
            instance: Some(instance.clone()),
        }
        .into(),
        Nack { present: node.clone(), fence }.into(),
        Redirect { owner: owner.clone(), roster }.into(),
        Release { fence, owner }.into(),
        Beat { fence, roster, standbys: Some(standbys) }.into(),
        Report { fence, status: phalanx_base::NodeStatus::Ready, tasks: u32::MAX, labels: Some(labels) }
            .into(),
        Ack { fence, task: task.clone(), through: u64::MAX, checkpoint }.into(),
        Call { id: id(1), fence, generation, remaining_ms: u64::MAX, verb: command.clone() }.into(),
        Call { id: id(1), fence, generation, remaining_ms: u64::MAX, verb: start.clone() }.into(),
        Forward { worker: node.clone(), id: id(1), generation, remaining_ms: u64::MAX, verb: start }.into(),
        Forward { worker: node, id: id(1), generation, remaining_ms: u64::MAX, verb: command }.into(),
        OutcomeOf { id: id(1), outcome: done.clone() }.into(),
        ForwardOutcome { id: id(1), outcome: done }.into(),
        Event { fence, task: task.clone(), sequence: u64::MAX, body: EventBody::Emitted(payload) }.into(),
    ];
    let (transfer, note) = (TransferId(u64::MAX), Bytes::from(vec![0; FETCH_NOTE_BYTES_MAX]));
    let worker = samples::node(&"n".repeat(64));
    let fetches = [
        Opening::Fetch { fence, generation, task: task.clone(), transfer, note: note.clone() },
        Opening::PeerFetch { worker, generation, task, transfer, note },
    ];
    let frames = messages.iter().map(Message::to_frame).chain(fetches.iter().map(Opening::to_frame));
    for frame in frames {
        let most = rule(frame.kind).unwrap().bytes_max;
        assert!(frame.body.len() <= most, "kind {}: {} of {most}", frame.kind, frame.body.len());
    }
    let failed = TransferReply::Failed("w".repeat(phalanx_jobs::REASON_TEXT_BYTES_MAX)).to_frame();
    assert!(failed.body.len() <= rule(failed.kind).unwrap().bytes_max);
}

proptest! {
    #[test]
    fn messages_round_trip(message in strategies::message()) {
        let frame = message.to_frame();
        prop_assert_eq!(frame.kind, message.kind() as u8);
        prop_assert_eq!(Message::from_frame(&frame), Ok(message.clone()));
        let rule = rule(frame.kind).unwrap();
        prop_assert!(!rule.fenced || message.fence().is_some(), "a fenced kind carries its fence");
    }

    #[test]
    fn what_is_longer_or_shorter_is_refused(message in strategies::message(), more in 1usize..4, cut in 1usize..20) {
        let frame = message.to_frame();
        let longer = [&frame.body[..], &vec![0; more]].concat();
        let refused = Err(DecodeError::Body(message.kind()));
        prop_assert_eq!(&Message::from_frame(&Frame { body: longer.into(), ..frame }), &refused);
        let shorter = frame.body.slice(..frame.body.len().saturating_sub(cut));
        prop_assert_eq!(&Message::from_frame(&Frame { body: shorter, ..frame }), &refused);
    }

    #[test]
    fn openings_and_transfers_round_trip(
        opening in strategies::opening(),
        reply in strategies::transfer_reply(),
        bytes: u64,
        blake3: [u8; 32],
    ) {
        let end = TransferEnd { bytes, blake3 };
        prop_assert_eq!(Opening::from_frame(&opening.to_frame()), Ok(opening.clone()));
        prop_assert_eq!(TransferReply::from_frame(&reply.to_frame()), Ok(reply));
        prop_assert_eq!(TransferEnd::from_frame(&end.to_frame()), Ok(end.clone()));
        prop_assert!(Opening::from_frame(&end.to_frame()).is_err());
        prop_assert!(opening.to_frame().body.len() <= rule(Kind::Opening as u8).unwrap().bytes_max);
    }

    /// Nonsense, and messages with a few bytes changed: refused, or a message that encodes to itself.
    #[test]
    fn any_bytes_are_a_message_or_refused(
        kind in prop_oneof![any::<u8>(), prop::sample::select(FRAME_RULES.to_vec()).prop_map(|rule| rule.kind as u8)],
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check(&Frame { kind, body: noise.into() })?;
    }

    #[test]
    fn a_message_with_changed_bytes_is_a_message_or_refused(
        message in strategies::message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let frame = message.to_frame();
        let mut body = frame.body.to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check(&Frame { body: body.into(), ..frame })?;
    }
}

fn check(frame: &Frame) -> Result<(), TestCaseError> {
    if let Ok(message) = Message::from_frame(frame) {
        prop_assert_eq!(message.kind() as u8, frame.kind);
        let again = message.to_frame();
        prop_assert_eq!(Message::from_frame(&again), Ok(message));
    }
    if let Ok(opening) = Opening::from_frame(frame) {
        prop_assert_eq!(Opening::from_frame(&opening.to_frame()), Ok(opening));
    }
    if let Ok(reply) = TransferReply::from_frame(frame) {
        prop_assert_eq!(TransferReply::from_frame(&reply.to_frame()), Ok(reply));
    }
    Ok(())
}
