//! Control nodes, each a process of its own, and many workers in a few processes.

use phalanx::{Secret, SystemEntropy};

use super::cluster::addresses;
use crate::Failure;
use crate::helper::Helper;
use crate::order::Order;

/// In how many processes the workers are.
const HOSTS: usize = 4;

/// The processes of a fleet.
pub(crate) struct Fleet {
    secret: String,
    pub(crate) controls: Vec<Helper>,
    hosts: Vec<Helper>,
    workers: usize,
}

impl Fleet {
    /// So many control nodes, and no worker yet.
    pub(crate) fn start(controls: usize) -> Result<Self, Failure> {
        let secret = Secret::generate(&SystemEntropy::new()).expose();
        let expected = controls.to_string();
        let mut started: Vec<Helper> = Vec::with_capacity(controls);
        for number in 0..controls {
            let name = format!("control-{number}");
            started.push(Helper::role("control", &[&secret, &name, &addresses(&started), &expected])?);
        }
        let mut fleet = Self { secret, controls: started, hosts: Vec::new(), workers: 0 };
        for _ in 0..HOSTS {
            let host = fleet.host()?;
            fleet.hosts.push(host);
        }
        Ok(fleet)
    }

    fn host(&self) -> Result<Helper, Failure> {
        Helper::role("workers", &[&self.secret, &addresses(&self.controls)])
    }

    /// So many workers come at one time; says how long it took until all were ready, in seconds.
    pub(crate) fn attach(&mut self, count: usize) -> Result<f64, Failure> {
        let each = count / HOSTS;
        for (number, host) in self.hosts.iter_mut().enumerate() {
            host.tell(&Order::Attach { count: each, from: self.workers + number * each })?;
        }
        self.workers += each * HOSTS;
        slowest(&self.hosts)
    }

    /// So many more workers come, are killed, and come again; says how long it took until all were ready then.
    pub(crate) fn reattach(&mut self, count: usize) -> Result<f64, Failure> {
        let order = Order::Attach { count, from: self.workers };
        let mut first = self.host()?;
        first.ask(&order)?;
        drop(first);
        let mut second = self.host()?;
        Ok(second.ask(&order)?.seconds)
    }

    /// A control node is killed; says how long it took until each of its workers had another one.
    pub(crate) fn kill(&mut self, number: usize) -> Result<f64, Failure> {
        drop(self.controls.remove(number));
        for host in &mut self.hosts {
            host.tell(&Order::Rehome { lost: format!("control-{number}") })?;
        }
        slowest(&self.hosts)
    }

    /// The memory of the control nodes' own, in bytes.
    pub(crate) fn memory_bytes(&self) -> f64 {
        self.controls.iter().map(Helper::memory_bytes).sum()
    }

    /// The time on a core that the control nodes have had, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.controls.iter().map(Helper::cpu_us).sum()
    }
}

fn slowest(hosts: &[Helper]) -> Result<f64, Failure> {
    hosts.iter().try_fold(0.0, |slowest: f64, host| Ok(slowest.max(host.answer()?.seconds)))
}
