#![doc = include_str!("../README.md")]

mod cluster;
mod faults;
mod history;
mod network;
mod prober;
pub mod properties;
mod run;
mod sampler;
mod trace;
mod world;

pub use phalanx::Config;

pub use cluster::Cluster;
pub use faults::{Class, Episode, Fault, Faults};
pub use history::{End, Entry, History, Violation};
pub use network::Effect;
pub use prober::{Probe, ProbeEvents, ProbeJobs};
pub use run::{ONLY, Report, SEED, Sim, cluster, explain};
pub use trace::TRACE_FILE;
pub use world::NodeSeams;
