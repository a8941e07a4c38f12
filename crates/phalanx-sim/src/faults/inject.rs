//! Does the faults of a run to its world, each at its time, and undoes them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Episode, Fault};
use crate::history::Entry;
use crate::network::Condition;
use crate::world::{Health, World};

/// Does all episodes, and returns when the last one is over. Their numbers, from `first` on, are theirs alone.
pub(crate) async fn inject(world: Arc<World>, first: u64, episodes: Vec<Episode>) {
    let mut moments: Vec<(Duration, bool, usize)> = Vec::new();
    for (number, episode) in episodes.iter().enumerate() {
        moments.push((episode.begin, true, number));
        moments.push((episode.begin + episode.length, false, number));
    }
    moments.sort_unstable();
    for (at, begins, number) in moments {
        tokio::time::sleep_until(world.clock.at(at)).await;
        let fault = &episodes[number].fault;
        if begins {
            world.history.record(&Entry::FaultBegan(fault.to_string()));
            begin(&world, first + number as u64, fault);
        } else {
            world.history.record(&Entry::FaultEnded(fault.to_string()));
            end(&world, first + number as u64, fault);
        }
    }
}

fn begin(world: &Arc<World>, number: u64, fault: &Fault) {
    match fault {
        Fault::Network { effect, from, to, both_ways } => {
            let condition = Condition {
                effect: *effect,
                from: addresses(world, from),
                to: addresses(world, to),
                both_ways: *both_ways,
            };
            world.wire.begin(number, condition);
        }
        Fault::Crash { node, silent, wipe } => {
            let machine = world.machine(node);
            machine.hold();
            world.end(node, true);
            if *silent {
                world.wire.switch(machine.ip, false);
            }
            if *wipe {
                machine.disk.wipe();
            }
        }
        Fault::Leave { node } => {
            world.machine(node).hold();
            let (world, node) = (world.clone(), node.clone());
            tokio::spawn(async move { world.shut_down(&node).await });
        }
        Fault::Pause { node } => pause(world, node, true),
        Fault::Slow { node, lag } => slow_down(world, node, *lag),
        Fault::ClockJump { node, ahead_ms } => world.machine(node).time.jump(*ahead_ms),
        Fault::DiskFull { node } => world.machine(node).disk.set_health(Health::Full),
        Fault::DiskFailure { node } => world.machine(node).disk.set_health(Health::Failing),
        Fault::NameService { node } => world.machine(node).resolver.set_failing(true),
    }
}

fn end(world: &Arc<World>, number: u64, fault: &Fault) {
    match fault {
        Fault::Network { .. } => world.wire.end(number),
        Fault::Crash { node, .. } => {
            let machine = world.machine(node);
            world.wire.switch(machine.ip, true);
            machine.release();
            tokio::spawn(world.clone().ensure(node.clone()));
        }
        Fault::Leave { node } => {
            world.machine(node).release();
            tokio::spawn(world.clone().ensure(node.clone()));
        }
        Fault::Pause { node } => pause(world, node, false),
        Fault::Slow { node, .. } => slow_down(world, node, Duration::ZERO),
        Fault::ClockJump { node, .. } => world.machine(node).time.jump(0),
        Fault::DiskFull { node } | Fault::DiskFailure { node } => {
            world.machine(node).disk.set_health(Health::Good);
        }
        Fault::NameService { node } => world.machine(node).resolver.set_failing(false),
    }
}

fn pause(world: &World, node: &str, paused: bool) {
    if let Some(process) = world.process(node) {
        process.gate.pause(paused);
    }
}

fn slow_down(world: &World, node: &str, lag: Duration) {
    if let Some(process) = world.process(node) {
        process.gate.slow_down(lag);
    }
}

fn addresses(world: &World, names: &[String]) -> BTreeSet<IpAddr> {
    names.iter().map(|name| world.machine(name).ip).collect()
}
