//! What the demo found, as JSON and as a verdict.

use serde::Serialize;

/// A control node that was killed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KilledControl {
    /// Until another control node saw it down.
    pub(crate) detected_ms: u64,
    /// Until the last of its workers had a proxy again.
    pub(crate) rehosted_ms: u64,
    /// How many workers' proxies it hosted, which all moved.
    pub(crate) proxies_moved: usize,
    /// Until every proxy was where the ring without it says.
    pub(crate) settled_ms: u64,
}

/// A worker that was killed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KilledWorker {
    /// Until its control node called it `NotConnected`.
    pub(crate) detected_ms: u64,
}

/// A control node that joined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JoinedControl {
    /// How many workers have another host since.
    pub(crate) proxies_moved: usize,
    /// The share of the partitions that is its due, from 0 to 1.
    pub(crate) ideal_share: f64,
    /// The share of the partitions that it owns.
    pub(crate) share: f64,
    /// Until every proxy was where the ring with it says.
    pub(crate) settled_ms: u64,
}

/// A worker that joined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JoinedWorker {
    /// Until it had a proxy.
    pub(crate) ready_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) formed_ms: u64,
    pub(crate) controls: usize,
    pub(crate) workers: usize,
    pub(crate) files: usize,
    pub(crate) passes: u64,
    pub(crate) bytes: u64,
    pub(crate) verified: bool,
    pub(crate) mismatches: u64,
    pub(crate) requests: usize,
    pub(crate) requests_failed: u64,
    pub(crate) request_p50_us: u64,
    pub(crate) request_p99_us: u64,
    pub(crate) events: u64,
    pub(crate) redelivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) repeated_after_crash: u64,
    pub(crate) gaps: u64,
    pub(crate) retried_tasks: u64,
    pub(crate) killed_control: Option<KilledControl>,
    pub(crate) killed_worker: Option<KilledWorker>,
    pub(crate) joined_control: Option<JoinedControl>,
    pub(crate) joined_worker: Option<JoinedWorker>,
    pub(crate) rss_bytes_max: u64,
    pub(crate) orphans: usize,
}

/// The value below which a part of the sorted values lies; 0 for none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}

impl Report {
    /// What must hold and does not.
    pub(crate) fn failures(&self, faults: bool) -> Vec<String> {
        let mut failures = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                failures.push(what.to_owned());
            }
        };
        must(self.verified, "every file comes back right");
        must(self.mismatches == 0, "no result differs from the local computation");
        must(self.requests > 0, "requests are answered");
        must(self.duplicates == 0, "no event is handled twice outside a crash");
        must(self.gaps == 0, "no event of a surviving task is missing");
        must(self.orphans == 0, "no process is left");
        if faults {
            must(self.killed_control.is_some(), "the workers of the killed control node have a proxy again");
            must(self.killed_worker.is_some(), "the killed worker is seen as not connected");
            must(self.joined_control.is_some(), "the joined control node takes its share");
            must(self.joined_worker.is_some(), "the joined worker has a proxy");
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        assert_eq!(percentile(&[], 99), 0);
        assert_eq!(percentile(&[7], 50), 7);
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&hundred, 50), percentile(&hundred, 99), percentile(&hundred, 100)),
            (50, 99, 100)
        );
    }
}
