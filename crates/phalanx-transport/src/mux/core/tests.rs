//! Two cores against each other under every interleaving that chance finds, and one against a peer that keeps to nothing.

use std::collections::BTreeMap;

use super::*;
use crate::mux::windows::{DATAGRAM_BYTES_MAX, lane_window};
use crate::mux::wire::{Content, HEADER_BYTES, Header};
use proptest::prelude::*;

const STREAMS_MAX: u16 = 4;

fn config() -> CoreConfig {
    let (idle_timeout, keep_alive_interval) = (Duration::from_secs(10), Duration::from_secs(1));
    CoreConfig { streams_max: STREAMS_MAX, idle_timeout, keep_alive_interval }
}

fn core(end: End) -> Core {
    Core::new(Instant::now(), end, config())
}

/// What stands at one place of one stream, in one direction.
fn byte_at(stream: u64, end: End, offset: u64) -> u8 {
    (stream.wrapping_mul(31) ^ offset.wrapping_mul(7) ^ (offset >> 8) ^ u64::from(end == End::Dialler)) as u8
}

/// What one end's users know of a stream.
#[derive(Debug, Default)]
struct Half {
    lane: Option<Lane>,
    written: u64,
    sent: u64,
    is_finished: bool,
    is_reset: bool,
    is_stopped: bool,
    received: u64,
    unread: u64,
    has_end: bool,
    is_unwanted: bool,
}

struct Node {
    core: Core,
    end: End,
    halves: BTreeMap<u64, Half>,
    /// What this end has sent and the other one has not received.
    wire: Vec<u8>,
    datagrams: usize,
    is_flushed: bool,
}

impl Node {
    fn new(end: End) -> Self {
        let (core, halves, wire) = (core(end), BTreeMap::new(), Vec::new());
        Self { core, end, halves, wire, datagrams: 0, is_flushed: false }
    }

    fn transmit(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some(transmit) = self.core.poll_transmit(Instant::now()) else { return };
            self.wire.extend_from_slice(transmit.head());
            match transmit.content {
                Content::None => {}
                Content::Bytes(bytes) => self.wire.extend_from_slice(&bytes),
                Content::Stream { stream, bytes } => {
                    assert!(bytes <= CHUNK_BYTES_MAX);
                    let half = self.halves.get_mut(&stream).unwrap();
                    let end = self.end;
                    self.wire.extend(
                        (half.sent..half.sent + bytes as u64).map(|offset| byte_at(stream, end, offset)),
                    );
                    half.sent += bytes as u64;
                    assert!(half.sent <= half.written, "more than was written");
                }
            }
        }
    }

    fn receive(&mut self, from: &mut Node, bytes: usize) {
        let rest = from.wire.split_off(bytes.min(from.wire.len()));
        let bytes = std::mem::replace(&mut from.wire, rest);
        self.core.handle_bytes(Instant::now(), bytes.into());
        while let Some(event) = self.core.poll_event() {
            self.handle(event, from.end);
        }
    }

    fn handle(&mut self, event: Event, from: End) {
        match event {
            Event::Opened { stream, lane } => {
                let half = Half { lane: Some(lane), ..Half::default() };
                assert!(self.halves.insert(stream, half).is_none());
            }
            Event::Data { stream, bytes } => {
                let half = self.halves.get_mut(&stream).unwrap();
                assert!(!half.has_end && !half.is_unwanted);
                for byte in &bytes {
                    assert_eq!(*byte, byte_at(stream, from, half.received), "out of order");
                    half.received += 1;
                }
                half.unread += bytes.len() as u64;
            }
            Event::Finished { stream } | Event::Reset { stream } => {
                let half = self.halves.get_mut(&stream).unwrap();
                assert!(!std::mem::replace(&mut half.has_end, true));
            }
            Event::Stopped { stream } => self.halves.get_mut(&stream).unwrap().is_stopped = true,
            Event::Over { .. } => {}
            Event::Datagram(_) => self.datagrams += 1,
            Event::Flushed => self.is_flushed = true,
            Event::Lost(lost) => panic!("{lost}, {:?}", self.core.violation()),
        }
        for lane in Lane::ALL {
            let of_lane = self.halves.values().filter(|half| half.lane == Some(lane));
            let unread: u64 = of_lane.map(|half| half.unread).sum();
            assert!(unread <= u64::from(lane_window(lane)), "{unread} bytes of {lane:?} wait");
        }
        assert!(self.core.streams.len() <= 2 * usize::from(STREAMS_MAX));
    }

    fn pick(&mut self, which: prop::sample::Index) -> Option<(u64, &mut Half)> {
        if self.halves.is_empty() {
            return None;
        }
        let place = which.index(self.halves.len());
        self.halves.iter_mut().nth(place).map(|(id, half)| (*id, half))
    }

    fn read(&mut self, which: prop::sample::Index) {
        let Some((id, half)) = self.pick(which) else { return };
        let (lane, bytes) = (half.lane.unwrap(), std::mem::take(&mut half.unread) as u32);
        self.core.handle_read(id, bytes);
        self.core.handle_lane_read(lane, bytes);
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Open(lane) => {
                if let Some(id) = self.core.handle_open(lane) {
                    self.halves.insert(id, Half { lane: Some(lane), ..Half::default() });
                }
            }
            Action::Write(which, bytes) => {
                if let Some((id, half)) = self.pick(which)
                    && !(half.is_finished || half.is_reset || half.is_stopped)
                {
                    half.written += bytes as u64;
                    self.core.handle_written(id, bytes);
                }
            }
            Action::Finish(which) => {
                if let Some((id, half)) = self.pick(which) {
                    half.is_finished = true;
                    self.core.handle_finish(id);
                }
            }
            Action::Reset(which) => {
                if let Some((id, half)) = self.pick(which) {
                    half.is_reset = true;
                    self.core.handle_reset(id, 0);
                }
            }
            Action::Stop(which) => {
                if let Some((id, half)) = self.pick(which) {
                    half.is_unwanted = true;
                    let (lane, unread) = (half.lane.unwrap(), std::mem::take(&mut half.unread));
                    self.core.handle_lane_read(lane, unread as u32);
                    self.core.handle_stop(id, 0);
                }
            }
            Action::Read(which) => self.read(which),
            Action::Datagram(bytes) => self.core.handle_datagram(vec![1; bytes].into()),
            Action::Transmit(frames) => self.transmit(frames),
            Action::Tick => self.core.handle_timeout(Instant::now()),
        }
    }
}

#[derive(Debug, Clone)]
enum Action {
    Open(Lane),
    Write(prop::sample::Index, usize),
    Finish(prop::sample::Index),
    Reset(prop::sample::Index),
    Stop(prop::sample::Index),
    Read(prop::sample::Index),
    Datagram(usize),
    Transmit(usize),
    Tick,
}

fn action() -> impl Strategy<Value = Action> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        3 => proptest::sample::select(&Lane::ALL[..]).prop_map(Action::Open),
        6 => (which(), prop_oneof![1..200_usize, 10_000..700_000_usize]).prop_map(|(i, n)| Action::Write(i, n)),
        2 => which().prop_map(Action::Finish),
        1 => which().prop_map(Action::Reset),
        1 => which().prop_map(Action::Stop),
        4 => which().prop_map(Action::Read),
        1 => (0..=DATAGRAM_BYTES_MAX).prop_map(Action::Datagram),
        6 => (1..40_usize).prop_map(Action::Transmit),
        1 => Just(Action::Tick),
    ]
}

/// Who acts, what they do, and how much the other one receives after it.
fn steps() -> impl Strategy<Value = Vec<(bool, Action, usize)>> {
    proptest::collection::vec((any::<bool>(), action(), prop_oneof![0..30_usize, 0..300_000_usize]), 0..120)
}

/// What one end has to send arrives, and is read.
fn pass_on(from: &mut Node, to: &mut Node) {
    from.transmit(usize::MAX);
    to.receive(from, usize::MAX);
    for (id, half) in &mut to.halves {
        let (lane, bytes) = (half.lane.unwrap(), std::mem::take(&mut half.unread) as u32);
        to.core.handle_read(*id, bytes);
        to.core.handle_lane_read(lane, bytes);
    }
}

/// Everything goes on until nothing happens any more: all is read, and each end flushes.
fn drain(a: &mut Node, b: &mut Node) {
    a.core.handle_flush();
    b.core.handle_flush();
    for _ in 0..10_000 {
        pass_on(a, b);
        pass_on(b, a);
        if a.is_flushed && b.is_flushed && a.wire.is_empty() && b.wire.is_empty() {
            return;
        }
    }
    panic!("two ends wait for each other: {:?} {:?}", a.core, b.core);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every stream arrives in order, and whole where nobody gave it up; nobody is ever accused.
    #[test]
    fn streams_arrive_in_order_and_whole(steps in steps()) {
        let (mut a, mut b) = (Node::new(End::Dialler), Node::new(End::Acceptor));
        for (at_a, action, bytes) in &steps {
            let (actor, other) = if *at_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
            actor.act(action);
            other.receive(actor, *bytes);
        }
        drain(&mut a, &mut b);
        for (from, to) in [(&a, &b), (&b, &a)] {
            for (id, half) in &from.halves {
                // Whoever opens and gives up at once is still told of.
                let Some(theirs) = to.halves.get(id) else { panic!("stream {id} never arrived") };
                prop_assert_eq!(half.lane, theirs.lane);
                prop_assert!(theirs.received <= half.sent);
                if !half.is_reset && !half.is_stopped && !theirs.is_unwanted {
                    prop_assert_eq!(theirs.received, half.written, "stream {}", id);
                    prop_assert_eq!(theirs.has_end, half.is_finished);
                }
            }
        }
        // Every place comes back.
        let ids: Vec<_> = a.halves.keys().copied().collect();
        for id in ids {
            a.core.handle_finish(id);
            b.core.handle_finish(id);
        }
        (a.is_flushed, b.is_flushed) = (false, false);
        drain(&mut a, &mut b);
        prop_assert_eq!((a.core.streams.len(), b.core.streams.len()), (0, 0));
        prop_assert_eq!((a.core.open_ours, a.core.open_theirs), (0, 0));
        prop_assert_eq!((a.core.queued, b.core.queued), (0, 0));
    }

    /// A peer that sends any frames at all makes nobody keep more than agreed, and nobody fall.
    #[test]
    fn a_hostile_peer_is_bounded(
        frames in proptest::collection::vec((0..14_u8, 0..12_u64, 0..40_usize, any::<u8>()), 0..300),
        piece in 1..200_usize,
    ) {
        let mut core = core(End::Acceptor);
        core.handle_open(Lane::Event);
        let mut wire = Vec::new();
        for (kind, stream, bytes, fill) in frames {
            let bytes = match kind {
                1 => 1,
                3 => 0,
                4..=6 => 4,
                7 => 5,
                9 | 10 => 8,
                _ => bytes,
            };
            wire.extend(Header { kind, stream, bytes }.encode());
            // Low numbers, so that credit and lanes are often valid.
            wire.extend((0..bytes).map(|place| if place == 0 { fill % 6 } else { 0 }));
        }
        for piece in wire.chunks(piece) {
            core.handle_bytes(Instant::now(), Bytes::copy_from_slice(piece));
            while core.poll_event().is_some() {}
            prop_assert!(core.streams.len() <= usize::from(STREAMS_MAX) + 1);
            prop_assert!(core.urgent.len() <= 4 * usize::from(STREAMS_MAX));
        }
        if let Some(violation) = core.violation() {
            prop_assert!(!violation.to_string().is_empty());
            prop_assert!(core.is_over());
            let told = core.poll_transmit(Instant::now()).expect("the peer is told why");
            prop_assert_eq!(told.head()[0], crate::mux::wire::CLOSE);
            prop_assert_eq!(core.poll_transmit(Instant::now()), None, "and nothing after it");
        }
        let mut frames = 0;
        while core.poll_transmit(Instant::now()).is_some() {
            frames += 1;
        }
        prop_assert!(frames < 100, "{} frames answer a peer that reads nothing", frames);
    }
}

/// A core whose lanes all have more to send than their windows.
fn busy() -> (Core, BTreeMap<u64, Lane>) {
    let mut core = core(End::Dialler);
    let mut streams = BTreeMap::new();
    for lane in [Lane::Bulk, Lane::Event, Lane::Request, Lane::Control] {
        let id = core.handle_open(lane).unwrap();
        core.handle_written(id, 64 * 1024 * 1024);
        streams.insert(id, lane);
    }
    while !matches!(core.poll_transmit(Instant::now()).unwrap().content, Content::Stream { .. }) {}
    (core, streams)
}

fn next_data(core: &mut Core) -> (u64, usize) {
    loop {
        match core.poll_transmit(Instant::now()).expect("there is data").content {
            Content::Stream { stream, bytes } => return (stream, bytes),
            Content::None | Content::Bytes(_) => {}
        }
    }
}

#[test]
fn the_most_urgent_lane_goes_first_and_the_others_never_starve() {
    let (mut core, streams) = busy();
    let mut sent = BTreeMap::<Lane, usize>::new();
    for _ in 0..1_000 {
        let (stream, bytes) = next_data(&mut core);
        let lane = streams[&stream];
        *sent.entry(lane).or_default() += bytes;
        // The peer reads at once.
        let credit = Transmit::number(STREAM_CREDIT, stream, bytes as u32);
        let of_lane = Transmit::lane_credit(lane.code(), bytes as u32);
        core.handle_bytes(Instant::now(), Bytes::copy_from_slice(credit.head()));
        core.handle_bytes(Instant::now(), Bytes::copy_from_slice(of_lane.head()));
        assert_eq!(core.violation(), None);
    }
    let total: usize = sent.values().sum();
    let share = |lane| sent[&lane] as f64 / total as f64;
    assert!(share(Lane::Control) > 0.75, "{sent:?}");
    for lane in [Lane::Request, Lane::Event, Lane::Bulk] {
        assert!((0.03..0.09).contains(&share(lane)), "{lane:?} of {sent:?}");
    }
}

#[test]
fn what_is_urgent_waits_for_one_piece_at_most() {
    let mut core = core(End::Dialler);
    let bulk = core.handle_open(Lane::Bulk).unwrap();
    core.handle_written(bulk, 1024 * 1024);
    assert_eq!(next_data(&mut core), (bulk, CHUNK_BYTES_MAX));
    let control = core.handle_open(Lane::Control).unwrap();
    core.handle_written(control, 10);
    assert_eq!(next_data(&mut core), (control, 10));
    assert_eq!(next_data(&mut core), (bulk, CHUNK_BYTES_MAX));
}

#[test]
fn nobody_who_does_not_read_stops_another_lane() {
    let mut core = core(End::Dialler);
    let streams: Vec<_> = (0..4).map(|_| core.handle_open(Lane::Bulk).unwrap()).collect();
    for stream in streams {
        core.handle_written(stream, 64 * 1024 * 1024);
    }
    let mut sent = 0;
    while let Some(transmit) = core.poll_transmit(Instant::now()) {
        if let Content::Stream { bytes, .. } = transmit.content {
            sent += bytes;
        }
    }
    assert_eq!(sent, lane_window(Lane::Bulk) as usize);
}

#[test]
fn silence_is_answered_by_a_ping_and_then_by_the_end() {
    let start = Instant::now();
    let mut core = Core::new(start, End::Dialler, config());
    assert!(core.poll_transmit(start).is_some(), "the first one measures the round trip");
    assert_eq!(core.poll_transmit(start), None);
    let at = core.poll_timeout().unwrap();
    assert_eq!(at, start + Duration::from_secs(1));
    core.handle_timeout(at);
    assert_eq!(core.poll_transmit(at).map(|ping| ping.head()[0]), Some(crate::mux::wire::PING));
    let answer = Transmit::ping(crate::mux::wire::PONG, 2);
    let heard_at = at + Duration::from_millis(30);
    core.handle_bytes(heard_at, Bytes::copy_from_slice(answer.head()));
    assert_eq!(core.round_trip(), Some(heard_at - start));
    let idle_at = heard_at + config().idle_timeout;
    core.handle_timeout(idle_at - Duration::from_millis(1));
    assert!(!core.is_over());
    core.handle_timeout(idle_at);
    assert_eq!(core.poll_event(), Some(Event::Lost(LinkLost::TimedOut)));
    assert_eq!((core.poll_timeout(), core.poll_transmit(idle_at)), (None, None));
}

#[test]
fn each_breach_has_its_name() {
    let frame = |kind, stream, body: &[u8]| {
        [Header { kind, stream, bytes: body.len() }.encode().to_vec(), body.to_vec()].concat()
    };
    let open = |stream| frame(1, stream, &[Lane::Control.code()]);
    let window = crate::mux::windows::stream_window(Lane::Control) as usize;
    let much: Vec<u8> = (0..=window / 16_000).flat_map(|_| frame(2, 1, &vec![0; 16_000])).collect();
    for (bytes, violation) in [
        (open(3), Violation::BadOpen),
        (open(2), Violation::BadOpen),
        ([open(1), open(1)].concat(), Violation::BadOpen),
        ((0..=u64::from(STREAMS_MAX)).flat_map(|n| open(2 * n + 1)).collect(), Violation::TooManyStreams),
        (frame(2, 1, b"x"), Violation::NoSuchStream),
        (frame(3, 1, b""), Violation::NoSuchStream),
        (frame(5, 9, &[0; 4]), Violation::NoSuchStream),
        ([open(1), frame(3, 1, b""), frame(2, 1, b"x")].concat(), Violation::NoSuchStream),
        ([open(1), frame(3, 1, b""), frame(4, 1, &[0; 4])].concat(), Violation::NoSuchStream),
        ([open(1), much].concat(), Violation::NoCredit),
        ([open(1), frame(6, 1, &[1, 0, 0, 0])].concat(), Violation::TooMuchCredit),
        (frame(7, 0, &[Lane::Bulk.code(), 1, 0, 0, 0]), Violation::TooMuchCredit),
        (frame(10, 0, &[9, 0, 0, 0, 0, 0, 0, 0]), Violation::NoSuchPing),
        (frame(77, 0, b""), Violation::UnknownKind { kind: 77 }),
    ] {
        let mut core = core(End::Acceptor);
        core.handle_bytes(Instant::now(), bytes.into());
        assert_eq!(core.violation(), Some(violation));
        let lost = LinkLost::ClosedHere(CloseReason::Violation);
        let events: Vec<_> = std::iter::from_fn(|| core.poll_event()).collect();
        assert_eq!(events.last(), Some(&Event::Lost(lost)));
    }
}

#[test]
fn a_lane_of_a_later_version_is_refused_and_the_link_lives_on() {
    let mut core = core(End::Acceptor);
    let open = Header { kind: 1, stream: 1, bytes: 1 }.encode();
    let data = Header { kind: 2, stream: 1, bytes: 3 }.encode();
    core.handle_bytes(Instant::now(), [open.as_slice(), &[99], &data, b"abc"].concat().into());
    assert_eq!(core.poll_event(), None);
    let kinds: Vec<u8> =
        std::iter::from_fn(|| core.poll_transmit(Instant::now())).map(|frame| frame.head()[0]).collect();
    assert!(kinds.contains(&RESET) && kinds.contains(&STOP), "{kinds:?}");
    let reset = Transmit::number(RESET, 1, 0);
    core.handle_bytes(Instant::now(), Bytes::copy_from_slice(reset.head()));
    assert_eq!(core.poll_event(), Some(Event::Over { stream: 1, is_ours: false }));
    assert_eq!((core.violation(), HEADER_BYTES), (None, 11));
}
