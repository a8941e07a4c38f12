#![doc = include_str!("../README.md")]

mod assign;
mod choose;
mod hash;
mod metrics;
mod placement;
mod plan;
mod ring;
mod selector;
mod zones;

pub use assign::Assignees;
pub use choose::{
    Affinity, Cause, Choice, Class, Condition, Explanation, NeverPlaceable, Preferences, PreferencesError,
    Purpose, Ranked, Ranking, Refusal, Requirements, Score, Spread, Verdict, WorkerView, choose, explain,
};
pub use hash::partition;
pub use metrics::{Metric, Metrics};
pub use placement::Placement;
pub use plan::Plan;
pub use selector::{Clause, Expected, LabelPath, Selector, SelectorError};
