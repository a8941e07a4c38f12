//! Why no worker at all will do, said at once instead of waiting for a deadline.

use std::collections::BTreeMap;
use std::fmt;

use super::refusal::{Condition, Refusal};

/// No worker meets the requirements now: "of 12 workers: 7 lack gpu, 5 are not ready".
///
/// Each worker is counted once, at the first condition that it fails; those that last come before those that change
/// with time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeverPlaceable {
    workers: usize,
    causes: Vec<Cause>,
}

/// A condition that some workers fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// How many workers are counted here.
    pub workers: usize,
    /// What they fail.
    pub condition: Condition,
}

impl NeverPlaceable {
    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// What they fail; what most of them fail comes first.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }

    /// Whether some worker fails only what changes with time, so that to ask again later may help without a new
    /// worker, a new label or a new program.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        // The conditions that last come first: whoever is counted at another one meets all of them.
        self.causes.iter().any(|cause| !cause.condition.is_lasting())
    }
}

impl fmt::Display for NeverPlaceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.workers {
            0 => return f.write_str("there is no worker"),
            1 => f.write_str("of 1 worker: ")?,
            workers => write!(f, "of {workers} workers: ")?,
        }
        for (place, Cause { workers, condition }) in self.causes.iter().enumerate() {
            let separator = if place > 0 { ", " } else { "" };
            write!(f, "{separator}{workers} {}", condition.failure(*workers))?;
        }
        Ok(())
    }
}

impl std::error::Error for NeverPlaceable {}

/// Counts refused workers by the condition that they fail first.
#[derive(Default)]
pub(super) struct Tally<'r> {
    counts: BTreeMap<usize, (usize, Refusal<'r>)>,
}

impl<'r> Tally<'r> {
    /// One more worker that fails the condition of this number.
    pub(super) fn count(&mut self, number: usize, refusal: Refusal<'r>) {
        self.counts.entry(number).or_insert((0, refusal)).0 += 1;
    }

    pub(super) fn never_placeable(self) -> NeverPlaceable {
        let cause =
            |(workers, refusal): (usize, Refusal<'_>)| Cause { workers, condition: refusal.condition() };
        let mut causes: Vec<Cause> = self.counts.into_values().map(cause).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.workers));
        NeverPlaceable { workers: causes.iter().map(|cause| cause.workers).sum(), causes }
    }
}
