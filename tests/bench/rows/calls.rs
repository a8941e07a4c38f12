//! Requests and their answers: how many in a second, how long one takes, what one costs.

use super::rounds::{beside, each};
use crate::arguments::Arguments;
use crate::order::{Figures, Order};
use crate::peers::Peer;
use crate::report::{Bar, Row, Unit};

/// How long one round takes, and how long both ends run before the first.
const ROUND_MS: u64 = 1_500;
const WARM_UP_MS: u64 = 700;

/// How many call at one time where it is about their number.
const CONCURRENCY: usize = 64;

/// The size of a small request.
const SMALL_BYTES: usize = 64;

/// Everybody else.
const PEERS: [Peer; 7] =
    [Peer::Tcp, Peer::Tls, Peer::Quinn, Peer::QuinnStreams, Peer::Tonic, Peer::Nats, Peer::Erpc];

/// One kind of load, beside one peer.
struct Kind {
    name: &'static str,
    concurrency: usize,
    bytes: usize,
    unit: Unit,
    figure: fn(&Figures) -> f64,
    bar: fn(Peer) -> Bar,
}

impl Kind {
    fn measure(&self, arguments: &Arguments, peers: &[Peer]) -> Vec<Row> {
        let peers = peers.iter().map(|peer| (*peer, format!("{}/{peer}", self.name)));
        let wanted = peers.filter(|(_, name)| arguments.wants(name));
        wanted.map(|(peer, name)| self.row(&name, peer, arguments.rounds)).collect()
    }

    fn row(&self, name: &str, peer: Peer, rounds: usize) -> Row {
        let Self { concurrency, bytes, unit, figure, bar, .. } = *self;
        let order = |duration_ms| Order::Calls { concurrency, bytes, duration_ms };
        let (bar, told) = (bar(peer), peer.to_string());
        match beside(peer, rounds, &order(WARM_UP_MS), &order(ROUND_MS)) {
            Ok(rounds) => Row::compared(name, &told, unit, bar, &each(&rounds, figure)),
            Err(error) => Row::missing(name, &told, unit, bar, &error.to_string()),
        }
    }
}

/// 64 callers of 64 bytes.
pub(super) fn calls_64(arguments: &Arguments) -> Vec<Row> {
    let bar = |peer| match peer {
        Peer::Tonic => Bar::RatioMin(5.0),
        Peer::Erpc => Bar::RatioMin(2.5),
        Peer::Nats => Bar::RatioMin(1.5),
        Peer::Tcp => Bar::RatioMin(1.0),
        Peer::Quinn => Bar::RatioMin(0.6),
        _ => Bar::Reported,
    };
    let (unit, figure) = (Unit::CallsPerSecond, Figures::rate);
    let kind = Kind { name: "calls_64", concurrency: CONCURRENCY, bytes: SMALL_BYTES, unit, figure, bar };
    kind.measure(arguments, &PEERS)
}

/// One caller: the median of how long a call takes.
pub(super) fn calls_1(arguments: &Arguments) -> Vec<Row> {
    let bar = |peer| if peer == Peer::Quinn { Bar::RatioMax(1.3) } else { Bar::Reported };
    let (unit, figure) = (Unit::Microseconds, |figures: &Figures| figures.p50_us);
    Kind { name: "calls_1", concurrency: 1, bytes: SMALL_BYTES, unit, figure, bar }.measure(arguments, &PEERS)
}

/// 64 callers of four kibibytes.
pub(super) fn calls_4k(arguments: &Arguments) -> Vec<Row> {
    let (unit, figure) = (Unit::CallsPerSecond, Figures::rate);
    let bar = |_| Bar::Reported;
    let kind = Kind { name: "calls_4k", concurrency: CONCURRENCY, bytes: 4 << 10, unit, figure, bar };
    kind.measure(arguments, &PEERS)
}

/// What a call costs, both ends together.
pub(super) fn calls_cpu(arguments: &Arguments) -> Vec<Row> {
    let bar = |_| Bar::RatioMax(2.0);
    let (unit, figure) = (Unit::CpuMicrosecondsPerCall, Figures::cpu_us_per_call);
    let kind = Kind { name: "calls_cpu", concurrency: CONCURRENCY, bytes: SMALL_BYTES, unit, figure, bar };
    kind.measure(arguments, &[Peer::Quinn])
}
