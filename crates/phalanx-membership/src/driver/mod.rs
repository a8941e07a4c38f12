//! Runs a [`Membership`](crate::Membership) over a [`DatagramSocket`]: one task owns the core, callers hold a [`MembershipHandle`].
//!
//! [`drive`] spawns nothing: it returns the future that whoever owns the tasks of the program has to run.

mod handle;
mod shell;
mod socket;

pub use handle::{Events, MembershipHandle, RemoveFailed, Stopped};
pub use shell::drive;
pub use socket::{DatagramSocket, Incoming};
