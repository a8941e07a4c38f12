//! What goes wrong: classes of faults, episodes of them, and how they are done to a world.

mod inject;
mod schedule;

use std::fmt;
use std::time::Duration;

pub(crate) use inject::inject;
pub use schedule::Faults;

use crate::network::Effect;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Datagrams between some nodes are lost.
    Loss,
    /// They arrive twice.
    Duplication,
    /// They overtake each other.
    Reordering,
    /// They take long, and now longer, now less long.
    Delay,
    /// They pass in one direction only.
    OneWay,
    /// The nodes are in two groups that do not hear each other.
    Partition,
    /// Two nodes do not hear each other, and everybody else hears both.
    PartialPartition,
    /// A process dies, and its machine says so to whoever asks. It starts again with its disk.
    Crash,
    /// A machine dies without a word, and starts again with its disk.
    SilentCrash,
    /// A machine dies, and starts again without what was on its disk.
    LostDisk,
    /// A process stops for a while, as after SIGSTOP, and knows nothing of it.
    Pause,
    /// Everything on a node takes long.
    Slow,
    /// A machine's time of day jumps.
    ClockJump,
    /// A disk is full.
    DiskFull,
    /// A disk fails.
    DiskFailure,
    /// A machine cannot look up names.
    NameService,
    /// A node leaves in order, and comes back.
    Leave,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Loss,
        Self::Duplication,
        Self::Reordering,
        Self::Delay,
        Self::OneWay,
        Self::Partition,
        Self::PartialPartition,
        Self::Crash,
        Self::SilentCrash,
        Self::LostDisk,
        Self::Pause,
        Self::Slow,
        Self::ClockJump,
        Self::DiskFull,
        Self::DiskFailure,
        Self::NameService,
        Self::Leave,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::Reordering => "reordering",
            Self::Delay => "delay",
            Self::OneWay => "one-way partition",
            Self::Partition => "partition",
            Self::PartialPartition => "partial partition",
            Self::Crash => "crash",
            Self::SilentCrash => "silent crash",
            Self::LostDisk => "lost disk",
            Self::Pause => "pause",
            Self::Slow => "slow node",
            Self::ClockJump => "clock jump",
            Self::DiskFull => "full disk",
            Self::DiskFailure => "failing disk",
            Self::NameService => "name service failure",
            Self::Leave => "leave",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fault: what is done, and to whom. Nodes go by their names, `control-1` and so on, `worker-1` and so on.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Something about the datagrams from some nodes to others.
    Network {
        /// What.
        effect: Effect,
        /// From these nodes.
        from: Vec<String>,
        /// To these.
        to: Vec<String>,
        /// And the other way round.
        both_ways: bool,
    },
    /// A process dies; its node starts again at the end of the episode.
    Crash {
        /// Which node.
        node: String,
        /// Whether the whole machine is off meanwhile, so that nothing says that nobody listens there.
        silent: bool,
        /// Whether it loses its disk.
        wipe: bool,
    },
    /// A process stops, as after SIGSTOP.
    Pause {
        /// Which node.
        node: String,
    },
    /// Each task of a node waits so long for each of its turns.
    Slow {
        /// Which node.
        node: String,
        /// How long.
        lag: Duration,
    },
    /// A machine's time of day is wrong.
    ClockJump {
        /// Which node.
        node: String,
        /// By how much, in milliseconds; backwards where negative.
        ahead_ms: i64,
    },
    /// A disk cannot be written.
    DiskFull {
        /// Which node.
        node: String,
    },
    /// A disk can be neither read nor written.
    DiskFailure {
        /// Which node.
        node: String,
    },
    /// A machine's name servers do not answer.
    NameService {
        /// Which node.
        node: String,
    },
    /// A node leaves in order, and starts again at the end of the episode.
    Leave {
        /// Which node.
        node: String,
    },
}

impl Fault {
    /// Of which class it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Network { effect: Effect::Loss { .. }, .. } => Class::Loss,
            Self::Network { effect: Effect::Duplicate { .. }, .. } => Class::Duplication,
            Self::Network { effect: Effect::Reorder { .. }, .. } => Class::Reordering,
            Self::Network { effect: Effect::Delay { .. }, .. } => Class::Delay,
            Self::Network { effect: Effect::Cut, both_ways: false, .. } => Class::OneWay,
            Self::Network { effect: Effect::Cut, from, to, .. } if from.len() == 1 && to.len() == 1 => {
                Class::PartialPartition
            }
            Self::Network { effect: Effect::Cut, .. } => Class::Partition,
            Self::Crash { wipe: true, .. } => Class::LostDisk,
            Self::Crash { silent: true, .. } => Class::SilentCrash,
            Self::Crash { .. } => Class::Crash,
            Self::Pause { .. } => Class::Pause,
            Self::Slow { .. } => Class::Slow,
            Self::ClockJump { .. } => Class::ClockJump,
            Self::DiskFull { .. } => Class::DiskFull,
            Self::DiskFailure { .. } => Class::DiskFailure,
            Self::NameService { .. } => Class::NameService,
            Self::Leave { .. } => Class::Leave,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class();
        match self {
            Self::Network { effect, from, to, both_ways } => {
                let arrow = if *both_ways { "and" } else { "to" };
                write!(f, "{class} from {} {arrow} {}: {effect:?}", from.join(","), to.join(","))
            }
            Self::Slow { node, lag } => write!(f, "{class} {node} by {lag:?}"),
            Self::ClockJump { node, ahead_ms } => write!(f, "{class} {node} by {ahead_ms} ms"),
            Self::Crash { node, .. }
            | Self::Pause { node }
            | Self::DiskFull { node }
            | Self::DiskFailure { node }
            | Self::NameService { node }
            | Self::Leave { node } => write!(f, "{class} {node}"),
        }
    }
}

/// A fault, when it begins, and how long it lasts.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// When, counted from the begin.
    pub begin: Duration,
    /// For how long.
    pub length: Duration,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, length) = (self.begin.as_secs_f64(), self.length.as_secs_f64());
        write!(f, "{begin:7.2} s, for {length:6.2} s: {}", self.fault)
    }
}
