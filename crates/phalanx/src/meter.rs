//! How full a node's machine is, measured now and then and smoothed, for whoever chooses where work goes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use phalanx_base::Usage;
use phalanx_jobs::{Spawn, WorkerService};
use phalanx_placement::Metrics;
use sysinfo::{Disks, System};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How often a node measures: as often as it reports.
const INTERVAL: Duration = Duration::from_secs(5);

/// Measures how much of a machine is in use.
pub trait Meter: Send + Sync + 'static {
    /// Measures now. It is called on a thread where it may block, a few milliseconds at best. What it cannot know is `None`.
    fn measure(&self) -> Metrics;
}

/// The machine that the process runs on, as the operating system tells it; memory by the limit of the process's control group,
/// where it has one. What the system does not tell is not known.
pub struct SystemMeter(Mutex<Measured>);

struct Measured {
    system: Option<System>,
    disks: Option<Disks>,
    /// How much processor time was used is known from the second time on.
    knows_cpu: bool,
}

impl SystemMeter {
    /// A meter that has measured nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (system, disks) = (System::new().ok(), Disks::new().ok());
        Self(Mutex::new(Measured { system, disks, knows_cpu: false }))
    }
}

impl Default for SystemMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter for SystemMeter {
    fn measure(&self) -> Metrics {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Measured { system, disks, knows_cpu } = &mut *measured;
        let mut metrics = Metrics::default();
        if let Some(system) = system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            metrics.cpu = knows_cpu.then(|| f64::from(system.global_cpu_usage()) / 100.0);
            (metrics.memory, metrics.load) = (memory(system), load(system));
            *knows_cpu = true;
        }
        if let Some(disks) = disks {
            disks.refresh(true);
            metrics.disk = disk(disks);
        }
        metrics
    }
}

/// A share of a whole that there is.
fn share(used: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| (used / of).clamp(0.0, 1.0))
}

fn memory(system: &System) -> Option<f64> {
    match system.cgroup_limits().filter(|limits| limits.total_memory > 0) {
        Some(limits) => {
            let used = limits.total_memory.saturating_sub(limits.free_memory);
            share(used as f64, limits.total_memory as f64)
        }
        None => share(system.used_memory() as f64, system.total_memory() as f64),
    }
}

fn load(system: &System) -> Option<f64> {
    share(System::load_average().ok()?.one, system.cpus().len() as f64)
}

/// The disk of the root folder: the one with the shortest path.
fn disk(disks: &Disks) -> Option<f64> {
    let root = disks.into_iter().min_by_key(|disk| disk.mount_point().as_os_str().len())?;
    let (total, free) = (root.total_space(), root.available_space());
    share(total.saturating_sub(free) as f64, total as f64)
}

/// Measures for as long as the worker runs.
pub(crate) async fn report(worker: WorkerService, meter: Arc<dyn Meter>, spawn: Arc<dyn Spawn>) {
    let mut followed = Metrics::default();
    loop {
        let (sender, measured) = oneshot::channel();
        let meter = meter.clone();
        spawn.spawn_blocking(Box::new(move || {
            // A node that has stopped meanwhile does not wait for it.
            let _ = sender.send(meter.measure());
        }));
        // A meter that panics is not asked again.
        let Ok(metrics) = measured.await else { return };
        followed.follow(&metrics, INTERVAL);
        worker.set_usage(usage(&followed)).await;
        sleep(INTERVAL).await;
    }
}

fn usage(metrics: &Metrics) -> Usage {
    let percent = |share: Option<f64>| share.map(|share| (share.clamp(0.0, 1.0) * 100.0).round() as u8);
    Usage {
        memory_percent: percent(metrics.memory),
        cpu_percent: percent(metrics.cpu),
        load_percent: percent(metrics.load),
        disk_percent: percent(metrics.disk),
    }
}

/// The way back, for the choice.
pub(crate) fn metrics(usage: &Usage) -> Metrics {
    let share = |percent: Option<u8>| percent.map(|percent| f64::from(percent) / 100.0);
    Metrics {
        memory: share(usage.memory_percent),
        cpu: share(usage.cpu_percent),
        load: share(usage.load_percent),
        disk: share(usage.disk_percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_measured_and_within_its_bounds() {
        let meter = SystemMeter::new();
        assert_eq!(meter.measure().cpu, None, "there is no time to compare with yet");
        let Metrics { memory, cpu, load, disk } = meter.measure();
        for share in [memory, cpu, load] {
            assert!(share.is_some_and(|share| (0.0..=1.0).contains(&share)), "{memory:?} {cpu:?} {load:?}");
        }
        assert!(disk.is_none_or(|share| (0.0..=1.0).contains(&share)), "{disk:?}");
    }

    #[test]
    fn shares_become_percent_and_come_back() {
        let metrics_there = Metrics { cpu: Some(0.934), memory: Some(7.0), ..Metrics::default() };
        let usage = usage(&metrics_there);
        assert_eq!(
            (usage.cpu_percent, usage.memory_percent, usage.disk_percent),
            (Some(93), Some(100), None)
        );
        assert_eq!(metrics(&usage).cpu, Some(0.93));
    }
}
