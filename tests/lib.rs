//! What the scenarios share: whole clusters in one process, on real sockets, and a job class that does as it is told.
//!
//! A scenario starts a [`Cluster`], gives its workers work of the class [`Probe`], and looks at what came of it: in the
//! answers, in the [`Record`] of all events that control nodes have handled, and in the [`Ledger`] of all requests that
//! workers have begun. It waits for conditions, each with a deadline, and never for time to pass.

mod cluster;
mod ledger;
mod logs;
mod probe;
mod program;
mod record;
mod shared;
mod story;
mod wait;

pub use cluster::{CLUSTER_NAME, Cluster, OWN_ADDRESS};
pub use ledger::Ledger;
pub use logs::Logs;
pub use probe::{Answer, Ask, Knob, Oops, Probe, Prober, Said, Wanted, Work, content};
pub use program::program;
pub use record::{Record, Recorder, Seen, What};
pub use shared::shared;
pub use story::{Plot, Question, Story, Teller};
pub use wait::{DEADLINE, first, soon, until, within};
