//! Log lines about what fails in part: one when it begins, one when it ends.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, info, warn};

use crate::ResolveError;

/// Whether the last search failed in part.
#[derive(Debug, Default)]
pub(super) struct Failing(AtomicBool);

impl Failing {
    /// Takes what failed of a search that found something.
    pub(super) fn log(&self, failed: Option<&ResolveError>) {
        let before = self.0.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(error) if before => debug!(%error, "DNS still answers in part only"),
            Some(error) => warn!(%error, "DNS answers in part only; the rest is asked for again"),
            None if before => info!("DNS answers all questions again"),
            None => {}
        }
    }
}
