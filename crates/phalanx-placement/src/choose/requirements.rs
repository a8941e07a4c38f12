//! What a worker must be, or it is not chosen.

use std::collections::{BTreeMap, BTreeSet};

use phalanx_base::{NodeId, NodeStatus};
use serde::{Deserialize, Serialize};

use crate::{Class, Metric, Selector};

/// What a worker is chosen for: it decides in which states it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Purpose {
    /// A new task, which only a ready worker takes.
    #[default]
    Task,
    /// A request, which a worker on its way out answers too.
    Request,
}

impl Purpose {
    /// Whether a worker in this state will do.
    #[must_use]
    pub fn allows(self, status: NodeStatus) -> bool {
        match self {
            Self::Task => status.takes_tasks(),
            Self::Request => status.runs_requests(),
        }
    }
}

/// What every worker must meet to be chosen. The default asks for no more than a ready worker.
///
/// A metric that a worker does not report refuses it nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// What the worker is for.
    pub purpose: Purpose,
    /// The class that it must have.
    pub class: Option<Class>,
    /// What its labels must be.
    pub selector: Selector,
    /// Workers that must not be chosen, such as those that have failed at the same work.
    pub excluded: BTreeSet<NodeId>,
    /// The most tasks that a worker may run, the new one included.
    pub tasks_max: Option<u32>,
    /// How full a worker may be by each metric before the work comes, in percent; from 100 on it may be full.
    pub used_max_percent: BTreeMap<Metric, u8>,
}
