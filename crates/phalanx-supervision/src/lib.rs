#![doc = include_str!("../README.md")]

mod action;
mod backoff;
mod end;
mod event;
mod instance;
mod job;
mod name;
mod node;
mod nodes;
mod placing;
mod policy;
mod reconcile;
mod record;
mod rollout;
mod spec;
mod state;
mod supervisor;
mod text;

pub use action::Action;
pub use end::{End, EndKind, StartFailure};
pub use event::{EVENTS_MAX, Event, JobStatus};
pub use name::{Attempt, InstanceName, JobName, NameError, Tag};
pub use node::{Found, Listing, NodeReport};
pub use nodes::{LISTING_RETRY, LISTINGS_IN_FLIGHT_MAX, NODES_MAX};
pub use policy::{LostPolicy, PolicyError, RestartPolicy, RestartWhen, UpdatePolicy};
pub use reconcile::{ACTIONS_MAX, STARTS_IN_FLIGHT_MAX, STOP_AFTER_MARGIN, STOP_REPEAT, UNSEEN_GRACE};
pub use record::{EndedAttempt, InstanceRecord, Place, TaskName};
pub use spec::{Count, JobSpec, SpecError};
pub use state::InstanceState;
pub use supervisor::{JOBS_MAX, JobError, JobView, NODES_PAUSE, Supervisor};
pub use text::{LAST_LINES_BYTES_MAX, LAST_LINES_MAX, REASON_BYTES_MAX};
