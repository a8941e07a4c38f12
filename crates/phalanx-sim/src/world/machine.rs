//! A machine: what outlives the processes on it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use phalanx_base::Role;

use super::clock::{Clock, TimeOfDay};
use super::disk::Disk;
use super::names::SimResolver;

pub(crate) struct Machine {
    pub(crate) role: Role,
    pub(crate) ip: IpAddr,
    pub(crate) disk: Arc<Disk>,
    pub(crate) time: Arc<TimeOfDay>,
    pub(crate) resolver: Arc<SimResolver>,
    boots: AtomicU64,
    /// How many want that nothing runs here.
    holds: AtomicU32,
}

impl Machine {
    pub(crate) fn new(role: Role, ip: IpAddr, clock: Clock, resolver: Arc<SimResolver>) -> Self {
        Self {
            role,
            ip,
            disk: Arc::default(),
            time: Arc::new(TimeOfDay::new(clock)),
            resolver,
            boots: AtomicU64::new(0),
            holds: AtomicU32::new(0),
        }
    }

    pub(crate) fn next_boot(&self) -> u64 {
        self.boots.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets nothing start here, until it was [released](Self::release) as often.
    pub(crate) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        self.holds.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Relaxed) > 0
    }
}
