//! One line of the report.

use std::fmt;

use serde::{Serialize, Serializer};

use super::bar::Bar;
use super::middle::median;

/// What the values of a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Calls in a second; more is better.
    CallsPerSecond,
    /// Cycles in a second.
    CyclesPerSecond,
    /// Files in a second.
    FilesPerSecond,
    /// Mebibytes in a second.
    MebibytesPerSecond,
    /// Microseconds; less is better.
    Microseconds,
    /// Microseconds of a core for one call, both ends together.
    CpuMicrosecondsPerCall,
    /// Milliseconds.
    Milliseconds,
    /// Kilobytes of memory for one worker.
    KilobytesPerWorker,
    /// Hundredths of the time of one core.
    PercentOfACore,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CallsPerSecond => "calls/s",
            Self::CyclesPerSecond => "cycles/s",
            Self::FilesPerSecond => "files/s",
            Self::MebibytesPerSecond => "MiB/s",
            Self::Microseconds => "µs",
            Self::CpuMicrosecondsPerCall => "µs of CPU a call",
            Self::Milliseconds => "ms",
            Self::KilobytesPerWorker => "kB a worker",
            Self::PercentOfACore => "% of a core",
        })
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Ours beside a peer's: medians of all rounds, and the median of the ratios of each round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What is measured, and beside whom.
    pub(crate) name: String,
    /// Our median.
    pub(crate) ours: Option<f64>,
    /// Who is beside us; empty where the bar is on our value alone.
    pub(crate) peer: String,
    /// The peer's median.
    pub(crate) peer_value: Option<f64>,
    /// The median of ours divided by the peer's of the same round.
    pub(crate) ratio: Option<f64>,
    /// The least and the greatest of these ratios: how much the machine has disturbed them.
    pub(crate) ratios: Option<(f64, f64)>,
    /// What it must hold.
    pub(crate) bar: Bar,
    /// Whether it does.
    pub(crate) holds: bool,
    /// What the values count.
    pub(crate) unit: Unit,
    /// How many rounds were measured.
    pub(crate) rounds: usize,
    /// Why there is no value, or why it does not count; and what else is to be known of it.
    pub(crate) notes: Vec<String>,
}

impl Row {
    /// A row without values yet.
    fn new(name: &str, peer: &str, unit: Unit, bar: Bar) -> Self {
        Self {
            name: name.to_owned(),
            ours: None,
            peer: peer.to_owned(),
            peer_value: None,
            ratio: None,
            ratios: None,
            bar,
            holds: false,
            unit,
            rounds: 0,
            notes: Vec::new(),
        }
    }

    /// Ours and the peer's, round by round.
    pub(crate) fn compared(name: &str, peer: &str, unit: Unit, bar: Bar, rounds: &[(f64, f64)]) -> Self {
        let mut row = Self::new(name, peer, unit, bar);
        row.rounds = rounds.len();
        row.ours = median(rounds.iter().map(|(ours, _)| *ours));
        row.peer_value = median(rounds.iter().map(|(_, peer)| *peer));
        // A peer that has done nothing leaves nothing to compare with.
        let ratios: Vec<f64> = rounds.iter().map(|(ours, peer)| ours / peer).collect();
        row.ratio = median(ratios.iter().copied()).filter(|ratio| ratio.is_finite());
        let (least, most) = ratios
            .iter()
            .fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| (least.min(*ratio), most.max(*ratio)));
        row.ratios = row.ratio.map(|_| (least, most));
        row.holds = row.ours.is_some_and(|ours| row.ratio.is_some() && bar.holds(ours, row.ratio));
        if row.ratio.is_none() {
            row.notes.push("there is nothing to divide by".to_owned());
        }
        row
    }

    /// Ours alone, round by round.
    pub(crate) fn alone(name: &str, unit: Unit, bar: Bar, rounds: &[f64]) -> Self {
        let mut row = Self::new(name, "", unit, bar);
        row.rounds = rounds.len();
        row.ours = median(rounds.iter().copied());
        row.holds = row.ours.is_some_and(|ours| bar.holds(ours, None));
        row
    }

    /// A row that could not be measured, and why.
    pub(crate) fn missing(name: &str, peer: &str, unit: Unit, bar: Bar, why: &str) -> Self {
        let mut row = Self::new(name, peer, unit, bar);
        row.notes.push(why.to_owned());
        row
    }

    /// The same row; it does not hold where `why` is something.
    pub(crate) fn spoilt(mut self, why: Option<String>) -> Self {
        self.holds &= why.is_none();
        self.notes.extend(why);
        self
    }

    /// The same row, with something more to be known of it.
    pub(crate) fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// A number with three digits that count, and no more than people read.
pub(crate) fn rounded(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |value: Option<f64>| value.map_or("-".to_owned(), rounded);
        let verdict = match (self.bar, self.holds) {
            (Bar::Reported, true) => "reported",
            (_, true) => "holds",
            (_, false) => "DOES NOT HOLD",
        };
        write!(f, "{}: {} {}", self.name, told(self.ours), self.unit)?;
        if !self.peer.is_empty() {
            write!(f, ", {} {}, ratio {}", self.peer, told(self.peer_value), told(self.ratio))?;
        }
        write!(f, ", bar {}: {verdict}", self.bar)?;
        for note in &self.notes {
            write!(f, " ({note})")?;
        }
        Ok(())
    }
}
