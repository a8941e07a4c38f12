//! How the requests did, second by second and altogether.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// How many seconds are kept, newest last: an hour is what a plot can show.
const SECONDS_MAX: usize = 3_600;

/// How many latencies of one second are kept as they are: far more than the demo asks.
const OPEN_MAX: usize = 100_000;

/// Values below it have a bucket each, and so many buckets divide each power of two above: errors stay below 1 %.
const FINE: u64 = 128;

/// One second of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Second {
    /// Since the start.
    pub(crate) at_s: u64,
    pub(crate) answered: usize,
    pub(crate) failed: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// The seconds that are over.
    pub(crate) seconds: VecDeque<Second>,
    pub(crate) all: Latencies,
    open_at_s: u64,
    open: Vec<u64>,
    open_failed: u64,
}

impl Samples {
    /// Takes in what became of requests, at a time since the start.
    pub(crate) fn add(&mut self, at: Duration, latencies_us: &[u64], failed: u64) {
        self.tick(at);
        let room = OPEN_MAX - self.open.len();
        self.open.extend(latencies_us.iter().take(room));
        self.open_failed += failed;
        latencies_us.iter().for_each(|latency| self.all.add(*latency));
    }

    /// Closes the seconds that are over.
    pub(crate) fn tick(&mut self, at: Duration) {
        while self.open_at_s < at.as_secs() {
            self.open.sort_unstable();
            if self.seconds.len() == SECONDS_MAX {
                self.seconds.pop_front();
            }
            self.seconds.push_back(Second {
                at_s: self.open_at_s,
                answered: self.open.len(),
                failed: std::mem::take(&mut self.open_failed),
                p50_us: percentile(&self.open, 50),
                p99_us: percentile(&self.open, 99),
            });
            self.open.clear();
            self.open_at_s += 1;
        }
    }
}

/// The value below which a part of the sorted values lies; 0 for none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}

/// Any number of latencies in little room: counts by value, coarser where values are larger (as in HdrHistogram).
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    pub(crate) count: usize,
}

impl Latencies {
    fn add(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
    }

    /// The value below which a part of them lies, at most 1 % too large; 0 for none.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count as u64 * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return largest_of(bucket);
            }
        }
        0
    }
}

fn bucket_of(value: u64) -> usize {
    if value < FINE {
        return value as usize;
    }
    let shift = value.ilog2() - FINE.ilog2();
    (FINE * u64::from(shift) + (value >> shift)) as usize
}

fn largest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < FINE {
        return bucket;
    }
    let shift = bucket / FINE - 1;
    let start = (bucket - FINE * shift) << shift;
    start + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        assert_eq!(percentile(&[], 99), 0);
        assert_eq!(percentile(&[7], 50), 7);
        let hundred: Vec<u64> = (1..=100).collect();
        let of = |percent| percentile(&hundred, percent);
        assert_eq!((of(50), of(99), of(100)), (50, 99, 100));
    }

    #[test]
    fn buckets_are_right_within_one_percent() {
        for value in (0..20_000_u64).chain([1 << 20, (1 << 40) + 12_345]) {
            let said = largest_of(bucket_of(value));
            assert!(said >= value && (said - value) * 100 <= value, "{value}: {said}");
        }
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(99), 0);
        (1..=100).for_each(|value| latencies.add(value));
        assert_eq!((latencies.percentile(50), latencies.percentile(99)), (50, 99));
    }

    #[test]
    fn quiet_seconds_are_there_too_and_old_ones_go() {
        let mut samples = Samples::default();
        samples.add(Duration::from_millis(100), &[10, 20, 30], 1);
        samples.add(Duration::from_millis(2_500), &[5], 0);
        let first = Second { at_s: 0, answered: 3, failed: 1, p50_us: 20, p99_us: 30 };
        assert_eq!(samples.seconds, [first, Second { at_s: 1, ..Second::default() }]);
        samples.tick(Duration::from_secs(SECONDS_MAX as u64 + 100));
        assert_eq!(samples.seconds.len(), SECONDS_MAX);
        assert_eq!(samples.all.count, 4);
    }
}
