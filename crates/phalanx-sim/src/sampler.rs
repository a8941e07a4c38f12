//! Looks at the whole cluster from time to time: what no single entry of a history shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use phalanx::{Control, NodeId, NodeStatus, Placement, Plan};
use phalanx_base::{Boot, Role, RosterVersion};
use tokio::time::{sleep, timeout};

use crate::properties::name;
use crate::world::{Process, World};

/// How often the owners are compared.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a change of the roster may move, compared with what it must.
const MOVES_FACTOR: f64 = 1.15;

/// How long a node that runs may take to say whom it hosts.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// The placements that were seen, by the control nodes that own partitions in them: all have one share and no zone here, so
/// that nothing else of a roster matters.
type Known = BTreeMap<Vec<NodeId>, Placement>;

/// Compares what control nodes with equal rosters say, for as long as the simulation runs.
pub(crate) async fn watch_owners(world: Arc<World>) {
    let mut known = Known::new();
    let mut looked_at: BTreeMap<Boot, RosterVersion> = BTreeMap::new();
    loop {
        for (process, control) in world.controls() {
            let ownership = control.ownership();
            let ownership = ownership.borrow();
            let placement = ownership.placement();
            let version = placement.version();
            if looked_at.insert(process.boot.clone(), version) != Some(version) {
                look_at(&world, &mut known, &process.boot, placement);
            }
        }
        sleep(INTERVAL).await;
    }
}

fn look_at(world: &World, known: &mut Known, boot: &Boot, placement: &Placement) {
    match known.get(placement.owner_nodes()) {
        Some(other) => {
            let differs = Plan::between(other, placement).moves().len();
            if differs > 0 {
                let what = format!("{boot} places {differs} partitions elsewhere than others do");
                world.history.violated(name::EQUAL_OWNERS, what);
            }
        }
        None => {
            known.values().for_each(|before| check_moves(world, before, placement));
            known.insert(placement.owner_nodes().to_vec(), placement.clone());
        }
    }
}

/// Where one control node comes or goes, not much more moves than what it gains or loses.
fn check_moves(world: &World, before: &Placement, after: &Placement) {
    let names = |placement: &Placement| placement.owner_nodes().iter().cloned().collect::<BTreeSet<_>>();
    let (old, new) = (names(before), names(after));
    let changed: Vec<&NodeId> = old.symmetric_difference(&new).collect();
    let [one] = changed[..] else { return };
    if old.is_empty() || new.is_empty() {
        return;
    }
    let must = before.share(one).max(after.share(one));
    let moved = Plan::between(before, after).moves().len();
    if moved as f64 > must as f64 * MOVES_FACTOR {
        let what = format!("{moved} partitions move as {one} comes or goes, and {must} must");
        world.history.violated(name::FEW_MOVES, what);
    }
}

/// Why the views of the control nodes do not agree; `None` when all see all, alive, with the same roster.
pub(crate) fn disagreement(world: &World) -> Option<String> {
    let wanted: BTreeSet<Boot> = world.controls().into_iter().map(|(process, _)| process.boot).collect();
    let expected = world.machines.values().filter(|machine| machine.role == Role::Control).count();
    if wanted.len() != expected {
        return Some(format!("{} of {expected} control nodes run", wanted.len()));
    }
    let mut versions = BTreeSet::new();
    for (process, control) in world.controls() {
        let view = control.cluster().borrow().clone();
        let alive = view.members.iter().filter(|member| member.liveness.is_alive());
        let alive: BTreeSet<Boot> = alive.map(|member| member.boot.clone()).collect();
        if alive != wanted {
            let alive: Vec<String> = alive.iter().map(ToString::to_string).collect();
            return Some(format!("{} sees alive {}", process.boot, alive.join(" ")));
        }
        versions.insert(view.roster.version());
    }
    (versions.len() > 1).then(|| format!("the rosters differ: {versions:?}"))
}

/// What is wrong with the proxies, if anything: each worker has one, which serves it, and where `at_home` at its owner.
pub(crate) async fn misplaced(world: &World, at_home: bool) -> Option<String> {
    let mut hosts: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for (process, control) in world.controls() {
        let Ok(workers) = timeout(ANSWER_TIME, control.workers()).await else {
            return Some(format!("{} does not say whom it hosts", process.boot));
        };
        for info in workers.into_iter().filter(|info| info.hosted.is_some()) {
            if info.status != NodeStatus::Ready {
                return Some(format!("{} sees {} {}", process.boot, info.worker, info.status));
            }
            hosts.entry(info.worker).or_default().push(process.boot.node.clone());
        }
    }
    let expected = world.machines.values().filter(|machine| machine.role == Role::Worker).count();
    let workers = world.workers();
    if workers.len() != expected {
        return Some(format!("{} of {expected} workers run", workers.len()));
    }
    for (Process { boot, .. }, worker) in workers {
        let Some([host]) = hosts.get(&boot.node).map(Vec::as_slice) else {
            return Some(format!("{boot} is hosted by {:?}", hosts.get(&boot.node)));
        };
        if worker.owner().as_ref() != Some(host) {
            return Some(format!("{boot} has the owner {:?}, and {host} hosts it", worker.owner()));
        }
        let owner = world.controls().first().and_then(|(_, control)| ring_owner(control, &boot.node));
        if at_home && owner.as_ref() != Some(host) {
            return Some(format!("{boot} is at {host}, and its owner is {owner:?}"));
        }
    }
    None
}

fn ring_owner(control: &Control, worker: &NodeId) -> Option<NodeId> {
    Some(control.ownership().borrow().placement().owner_of(worker)?.node.clone())
}
