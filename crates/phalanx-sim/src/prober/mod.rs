//! A job class that proves promises: each call, event and transfer of it has a number, and both ends write down what they
//! see.

mod asking;
mod jobs;

pub(crate) use asking::keep_asking;
pub use jobs::{Probe, ProbeEvents, ProbeJobs};
