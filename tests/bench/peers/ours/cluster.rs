//! Control nodes and one worker, each a process of its own.

use std::path::Path;

use phalanx::{Secret, SystemEntropy};

use crate::Failure;
use crate::helper::Helper;
use crate::peers::Pair;

/// The processes of a cluster.
pub(crate) struct Cluster {
    /// The control node that hosts the worker's proxy.
    owner: Helper,
    /// The other ones.
    others: Vec<Helper>,
    worker: Helper,
}

impl Cluster {
    /// So many control nodes and a worker, which has this folder for files if there is one.
    pub(crate) fn start(controls: usize, folder: Option<&Path>) -> Result<Self, Failure> {
        let secret = Secret::generate(&SystemEntropy::new()).expose();
        let expected = controls.to_string();
        let mut started: Vec<Helper> = Vec::with_capacity(controls);
        for number in 0..controls {
            let addresses = addresses(&started);
            let name = format!("control-{number}");
            started.push(Helper::role("control", &[&secret, &name, &addresses, &expected])?);
        }
        let folder = folder.map_or("-".into(), Path::to_string_lossy);
        let worker = Helper::role("worker", &[&secret, &addresses(&started), &folder])?;
        let owner = worker.greeting.strip_prefix("control-").and_then(|number| number.parse().ok());
        let owner: usize = owner.filter(|owner| *owner < controls).ok_or("a stranger hosts the worker")?;
        let owner = started.remove(owner);
        Ok(Self { owner, others: started, worker })
    }

    /// The worker and the control node that hosts its proxy.
    pub(crate) fn into_pair(self) -> Pair {
        Pair::new(self.owner, self.worker, None)
    }

    /// The worker's proxy asked at its host, and the same worker asked at another control node.
    pub(crate) fn both_ways(&mut self) -> Result<(&mut Helper, &mut Helper), Failure> {
        let other = self.others.first_mut().ok_or("there is one control node only")?;
        Ok((&mut self.owner, other))
    }
}

pub(super) fn addresses(controls: &[Helper]) -> String {
    let addresses: Vec<&str> = controls.iter().map(|control| control.greeting.as_str()).collect();
    addresses.join(",")
}
