//! How full a worker is, by what it reports.
//!
//! Whoever chooses asks for one number from 0 to 1. That reports may lack a value, or hold nonsense, ends here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a worker can be full by: what Akka's adaptive load balancing looks at (heap, cpu, load, mix), and the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Metric {
    /// Memory (in a runtime with a heap of its own, the heap).
    Memory,
    /// Processor time.
    Cpu,
    /// The length of the run queue by processor (the load average), at most 1.
    Load,
    /// Disk space.
    Disk,
    /// The mean of those of the others that the worker reports.
    #[default]
    Mix,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Load => "load",
            Self::Disk => "disk",
            Self::Mix => "mix",
        })
    }
}

/// How much of a worker is in use, each as a share from 0 (idle) to 1 (full); `None` where it is not known.
///
/// A value outside of 0 to 1 counts as the nearer end, and one that is not a number as not known, wherever it is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Metrics {
    /// The used share of the memory.
    pub memory: Option<f64>,
    /// The used share of the processor time.
    pub cpu: Option<f64>,
    /// The load average divided by the number of processors.
    pub load: Option<f64>,
    /// The used share of the disk.
    pub disk: Option<f64>,
}

impl Metrics {
    /// In which time a change has been followed half of the way: [`follow`](Self::follow). With a report each 5 s, as
    /// workers send by default, a report then weighs 0.25: a short peak is not taken for the worker's capacity, and
    /// after a minute 97 % of a lasting change is known.
    pub const HALF_LIFE: Duration = Duration::from_secs(12);

    /// The used share, from 0 to 1; `None` where it is not known.
    #[must_use]
    pub fn used(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Memory => sane(self.memory),
            Metric::Cpu => sane(self.cpu),
            Metric::Load => sane(self.load),
            Metric::Disk => sane(self.disk),
            Metric::Mix => {
                let known = [self.memory, self.cpu, self.load, self.disk].into_iter().filter_map(sane);
                let (sum, count) = known.fold((0.0, 0.0), |(sum, count), used| (sum + used, count + 1.0));
                (count > 0.0).then(|| sum / count)
            }
        }
    }

    /// The free share, from 0 to 1: one less the used share.
    #[must_use]
    pub fn free(&self, metric: Metric) -> Option<f64> {
        self.used(metric).map(|used| 1.0 - used)
    }

    /// Takes a report in that comes `elapsed` after the last one.
    ///
    /// Exponentially weighted moving averages (Roberts, 1959): each value goes towards the reported one by the factor
    /// `1 - 2^(-elapsed ÷ HALF_LIFE)`, so that the pace of the reports does not matter. The first report of a value is
    /// taken as it is; what a report lacks stays as it was.
    pub fn follow(&mut self, report: &Self, elapsed: Duration) {
        let factor = 1.0 - (-elapsed.as_secs_f64() / Self::HALF_LIFE.as_secs_f64()).exp2();
        let followed = |own: Option<f64>, reported: Option<f64>| match (sane(own), sane(reported)) {
            (Some(own), Some(reported)) => Some((own + factor * (reported - own)).clamp(0.0, 1.0)),
            (own, reported) => reported.or(own),
        };
        *self = Self {
            memory: followed(self.memory, report.memory),
            cpu: followed(self.cpu, report.cpu),
            load: followed(self.load, report.load),
            disk: followed(self.disk, report.disk),
        };
    }
}

fn sane(value: Option<f64>) -> Option<f64> {
    value.filter(|value| !value.is_nan()).map(|value| value.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const METRICS: [Metric; 5] = [Metric::Memory, Metric::Cpu, Metric::Load, Metric::Disk, Metric::Mix];

    fn any_metrics() -> impl Strategy<Value = Metrics> {
        let value = || prop::option::of(prop_oneof![any::<f64>(), 0.0..=1.0, Just(f64::NAN)]);
        (value(), value(), value(), value()).prop_map(|(memory, cpu, load, disk)| Metrics {
            memory,
            cpu,
            load,
            disk,
        })
    }

    #[test]
    fn mix_is_the_mean_of_what_is_known() {
        let metrics = Metrics { memory: Some(0.2), cpu: Some(7.0), load: Some(f64::NAN), disk: None };
        assert_eq!(metrics.used(Metric::Mix), Some(0.6));
        assert_eq!((metrics.used(Metric::Cpu), metrics.free(Metric::Memory)), (Some(1.0), Some(0.8)));
        assert_eq!((metrics.used(Metric::Load), metrics.used(Metric::Disk)), (None, None));
        assert_eq!(Metrics::default().free(Metric::Mix), None);
    }

    #[test]
    fn after_a_half_life_half_of_a_change_is_known() {
        let mut metrics = Metrics { cpu: Some(0.0), ..Metrics::default() };
        metrics.follow(&Metrics { cpu: Some(1.0), memory: Some(0.3), ..metrics }, Metrics::HALF_LIFE);
        assert_eq!((metrics.cpu, metrics.memory), (Some(0.5), Some(0.3)));
    }

    proptest! {
        #[test]
        fn values_stay_in_bounds_and_between_the_old_and_the_new(
            own in any_metrics(), report in any_metrics(), elapsed_ms in 0..10_000_000_u64
        ) {
            let mut after = own;
            after.follow(&report, Duration::from_millis(elapsed_ms));
            for metric in METRICS {
                if let Some(used) = after.used(metric) {
                    prop_assert!((0.0..=1.0).contains(&used));
                }
                if metric == Metric::Mix {
                    continue;
                }
                match (own.used(metric), report.used(metric)) {
                    (Some(old), Some(new)) => {
                        let used = after.used(metric).unwrap();
                        prop_assert!(old.min(new) - 1e-12 <= used && used <= old.max(new) + 1e-12);
                    }
                    (old, new) => prop_assert_eq!(after.used(metric), new.or(old)),
                }
            }
        }

        #[test]
        fn a_lasting_value_is_reached(own in any_metrics(), cpu in 0.0..=1.0, reports in 25_u32..40) {
            let mut metrics = own;
            for _ in 0..reports {
                metrics.follow(&Metrics { cpu: Some(cpu), ..Metrics::default() }, Duration::from_secs(5));
            }
            prop_assert!((metrics.cpu.unwrap() - cpu).abs() < 1e-3);
        }

        #[test]
        fn the_pace_of_reports_does_not_matter(own in 0.0..=1.0, cpu in 0.0..=1.0, a in 1..60_u64, b in 1..60_u64) {
            let report = Metrics { cpu: Some(cpu), ..Metrics::default() };
            let mut once = Metrics { cpu: Some(own), ..Metrics::default() };
            let mut twice = once;
            once.follow(&report, Duration::from_secs(a + b));
            twice.follow(&report, Duration::from_secs(a));
            twice.follow(&report, Duration::from_secs(b));
            prop_assert!((once.cpu.unwrap() - twice.cpu.unwrap()).abs() < 1e-9);
        }
    }
}
