//! Why one worker is not chosen, and the conditions of which it fails one.

use std::fmt;

use phalanx_base::NodeStatus;

use super::requirements::Purpose;
use super::worker::Class;
use crate::selector::Clause;
use crate::{LabelPath, Metric};

/// Why a worker is not chosen; as a text it goes on after the worker's name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal<'r> {
    /// It does not have the class.
    Class {
        /// What is needed.
        needed: &'r Class,
        /// The version of that class which it has.
        found: Option<u32>,
    },
    /// Its labels fail this part of the selector.
    Clause(&'r Clause),
    /// The caller does not want it.
    Excluded,
    /// It is in a state in which it does not take such work.
    Status {
        /// What it is needed for.
        purpose: Purpose,
        /// How it is.
        found: NodeStatus,
    },
    /// It runs as many tasks as it may.
    Tasks {
        /// How many it runs.
        running: u32,
        /// How many it may run.
        max: u32,
    },
    /// It is too full.
    Used {
        /// By which metric.
        metric: Metric,
        /// The used share, from 0 to 1.
        used: f64,
        /// How full it may be, in percent.
        max_percent: u8,
    },
    /// Where it is, there run as many tasks of the job as may.
    Spread {
        /// By the value of this label.
        label: &'r LabelPath,
        /// How many tasks of the job run there.
        running: u32,
        /// How many may.
        max: u32,
    },
}

impl Refusal<'_> {
    /// The condition that the worker fails.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match *self {
            Self::Class { needed, .. } => Condition::Class(needed.clone()),
            Self::Clause(clause) => Condition::Clause(clause.clone()),
            Self::Excluded => Condition::NotExcluded,
            Self::Status { purpose, .. } => Condition::Status(purpose),
            Self::Tasks { max, .. } => Condition::TasksMax(max),
            Self::Used { metric, max_percent, .. } => Condition::UsedMax { metric, max_percent },
            Self::Spread { label, max, .. } => Condition::SpreadMax { label: label.clone(), max },
        }
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class { needed, found: None } => write!(f, "lacks {needed}"),
            Self::Class { needed, found: Some(version) } => {
                write!(f, "has version {version} of class {}, not {}", needed.name, needed.version)
            }
            Self::Clause(clause) => f.write_str(&clause.failure(false)),
            Self::Excluded => f.write_str("is excluded"),
            Self::Status { found, .. } => write!(f, "is {found}"),
            Self::Tasks { running, max } => write!(f, "runs {}, may run {max}", Tasks(*running)),
            Self::Used { metric, used, max_percent } => {
                write!(f, "is {:.1} % full by {metric}, may be {max_percent} %", used * 100.0)
            }
            Self::Spread { label, running, max } => {
                write!(f, "is where {} of the job run by {label}, {max} may", Tasks(*running))
            }
        }
    }
}

/// What a worker must meet; as a text it says that several workers do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It has the class.
    Class(Class),
    /// Its labels meet this part of the selector.
    Clause(Clause),
    /// It is not among those that the caller excludes.
    NotExcluded,
    /// Its state is right for what it is needed for.
    Status(Purpose),
    /// It may run at most so many tasks, the new one included.
    TasksMax(u32),
    /// It must not be fuller.
    UsedMax {
        /// By which metric.
        metric: Metric,
        /// How full it may be, in percent.
        max_percent: u8,
    },
    /// Where it is may run at most so many tasks of the job, the new one included.
    SpreadMax {
        /// By the value of this label.
        label: LabelPath,
        /// How many may.
        max: u32,
    },
}

impl Condition {
    /// Whether it stays as it is for as long as neither the workers' programs nor their labels change. The others
    /// change with time: a worker becomes ready, a task ends.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Class(_) | Self::Clause(_) | Self::NotExcluded)
    }

    /// What is said of `count` workers that fail it.
    pub(super) fn failure(&self, count: usize) -> String {
        let many = count != 1;
        let be = if many { "are" } else { "is" };
        match self {
            Self::Class(class) => format!("{} {class}", if many { "lack" } else { "lacks" }),
            Self::Clause(clause) => clause.failure(many),
            Self::NotExcluded => format!("{be} excluded"),
            Self::Status(Purpose::Task) => format!("{be} not ready"),
            Self::Status(Purpose::Request) => format!("{} no requests", if many { "run" } else { "runs" }),
            Self::TasksMax(max) => format!("{} {} already", if many { "run" } else { "runs" }, Tasks(*max)),
            Self::UsedMax { metric, max_percent } => format!("{be} over {max_percent} % full by {metric}"),
            Self::SpreadMax { label, max } => format!("{be} where {} of the job run by {label}", Tasks(*max)),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.failure(2))
    }
}

/// A number of tasks, in words.
pub(super) struct Tasks(pub(super) u32);

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "task" } else { "tasks" })
    }
}
