//! Whether something fails at present, so that it is told once and not at each try.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, info, warn};

/// The watch of a server: it works, or it fails for the time being.
#[derive(Debug, Default)]
pub(crate) struct Outage(AtomicBool);

impl Outage {
    /// It has failed: a warning the first time.
    pub(crate) fn failed(&self, server: &'static str, error: &dyn Display) {
        if self.0.swap(true, Ordering::Relaxed) {
            debug!(server, %error, "still no watch");
        } else {
            warn!(server, %error, "no watch; it is tried again");
        }
    }

    /// It works.
    pub(crate) fn is_over(&self, server: &'static str) {
        if self.0.swap(false, Ordering::Relaxed) {
            info!(server, "watched again");
        }
    }
}
