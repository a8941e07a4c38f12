//! Whatever the network and its users do: no panic, no queue or table beyond its cap, and once the faults stop,
//! all that run agree.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Cluster, Faults, NO_FAULTS, id};
use phalanx_base::{AddressList, Boot, Generation};
use phalanx_membership::{
    Config, DATAGRAM_BYTES_MAX, DATAGRAMS_QUEUED_MAX, EVENTS_MAX, LinkLoss, LocalMember, MEMBERS_MAX,
    Membership, ROSTER_NODES_MAX, RosterSnapshot, SYNC_BYTES_MAX,
};
use proptest::prelude::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What befalls a cluster.
#[derive(Debug, Clone)]
enum Mishap {
    Faults {
        loss_percent: u64,
        repeat_percent: u64,
        latency_ms_max: u64,
    },
    Kill(usize),
    /// Starts what does not run, with what it had stored or without.
    Start {
        node: usize,
        stored: bool,
    },
    Drain(usize),
    /// A node gets neither time nor messages for so many milliseconds.
    Sleep {
        node: usize,
        ms: u64,
        kept: usize,
    },
    /// Somebody is told by its network that a process is gone, be it true or not.
    Evidence {
        at: usize,
        about: usize,
    },
    /// An operator removes a node and stops it.
    Remove {
        by: usize,
        node: usize,
    },
    Leave(usize),
    /// Splits the cluster, by the bits of a mask.
    Partition(u8),
    Heal,
    Wait(u64),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let node = 0..NAMES.len();
    prop_oneof![
        (0..40_u64, 0..20_u64, 1..150_u64).prop_map(|(loss_percent, repeat_percent, latency_ms_max)| {
            Mishap::Faults { loss_percent, repeat_percent, latency_ms_max }
        }),
        node.clone().prop_map(Mishap::Kill),
        (node.clone(), any::<bool>()).prop_map(|(node, stored)| Mishap::Start { node, stored }),
        node.clone().prop_map(Mishap::Drain),
        (node.clone(), 500..25_000_u64, 0..200_usize).prop_map(|(node, ms, kept)| Mishap::Sleep {
            node,
            ms,
            kept
        }),
        (node.clone(), node.clone()).prop_map(|(at, about)| Mishap::Evidence { at, about }),
        (node.clone(), node.clone()).prop_map(|(by, node)| Mishap::Remove { by, node }),
        node.prop_map(Mishap::Leave),
        any::<u8>().prop_map(Mishap::Partition),
        Just(Mishap::Heal),
        (100..40_000_u64).prop_map(Mishap::Wait),
        (100..4_000_u64).prop_map(Mishap::Wait),
    ]
}

/// The cluster and what its nodes would have on disk.
struct World {
    cluster: Cluster,
    running: [bool; NAMES.len()],
    generation: u64,
    stored: [RosterSnapshot; NAMES.len()],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut cluster = Cluster::new(Config::lan(), seed);
        NAMES.iter().for_each(|name| cluster.start(name, 1));
        NAMES[1..].iter().for_each(|name| cluster.link("a", name));
        Self { cluster, running: [true; NAMES.len()], generation: 1, stored: Default::default() }
    }

    fn befall(&mut self, mishap: &Mishap) {
        match *mishap {
            Mishap::Faults { loss_percent, repeat_percent, latency_ms_max } => {
                self.cluster.faults = Faults { loss_percent, repeat_percent, latency_ms_max };
            }
            Mishap::Kill(node) => self.stop(node),
            Mishap::Start { node, stored } => self.start(node, stored),
            Mishap::Drain(node) if self.running[node] => {
                self.cluster.with(NAMES[node], |core, now| core.drain(now));
            }
            Mishap::Sleep { node, ms, kept } if self.running[node] => {
                self.cluster.put_to_sleep(NAMES[node]);
                self.cluster.run_for(Duration::from_millis(ms));
                self.cluster.wake(NAMES[node], kept);
            }
            Mishap::Evidence { at, about } if at != about && self.running[at] => {
                self.cluster.lose_link(NAMES[at], NAMES[about], LinkLoss::ProcessGone);
            }
            Mishap::Remove { by, node } if self.running[by] => {
                let removed = self.cluster.with(NAMES[by], |core, now| core.remove(now, &id(NAMES[node])));
                if removed.is_ok() {
                    self.stop(node);
                }
            }
            Mishap::Leave(node) if self.running[node] => {
                self.cluster.with(NAMES[node], |core, now| core.leave(now));
                self.cluster.run_for(Duration::from_secs(1));
                self.stop(node);
            }
            Mishap::Partition(mask) => {
                let side = |bit| NAMES.iter().enumerate().filter(move |(at, _)| mask >> at & 1 == bit);
                let names = |bit| side(bit).map(|(_, name)| *name).collect::<Vec<_>>();
                self.cluster.partition(&names(0), &names(1));
            }
            Mishap::Heal => self.cluster.heal(),
            Mishap::Wait(ms) => self.cluster.run_for(Duration::from_millis(ms)),
            Mishap::Drain(_)
            | Mishap::Leave(_)
            | Mishap::Sleep { .. }
            | Mishap::Evidence { .. }
            | Mishap::Remove { .. } => {}
        }
    }

    fn stop(&mut self, node: usize) {
        if std::mem::take(&mut self.running[node]) {
            self.stored[node] = self.cluster.core(NAMES[node]).snapshot();
            self.cluster.kill(NAMES[node]);
        }
    }

    /// Starts a node and lets discovery show it to everybody who can be reached.
    fn start(&mut self, node: usize, stored: bool) {
        if !std::mem::replace(&mut self.running[node], true) {
            self.generation += 1;
            let stored = if stored { self.stored[node].clone() } else { RosterSnapshot::default() };
            self.cluster.start_stored(NAMES[node], self.generation, stored);
            self.introduce();
        }
    }

    fn introduce(&mut self) {
        for (at, a) in NAMES.iter().enumerate().filter(|(at, _)| self.running[*at]) {
            for b in NAMES[at + 1..].iter().zip(&self.running[at + 1..]).filter(|(_, runs)| **runs) {
                self.cluster.link_if_possible(a, b.0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn once_the_faults_stop_all_that_run_agree(
        seed: u64,
        mishaps in proptest::collection::vec(mishap(), 0..16),
    ) {
        let mut world = World::new(seed);
        mishaps.iter().for_each(|mishap| world.befall(mishap));
        world.cluster.faults = NO_FAULTS;
        world.cluster.heal();
        world.introduce();
        let settled = world.cluster.run_until(Duration::from_secs(30), Cluster::agrees);
        prop_assert!(settled.is_some(), "{}", world.cluster.describe());
        world.cluster.run_for(Duration::from_secs(40));
        prop_assert!(world.cluster.agrees(), "later: {}", world.cluster.describe());
        for core in world.cluster.cores() {
            let counters = core.counters();
            prop_assert_eq!((counters.complaints, counters.transmits_dropped, counters.records_refused), (0, 0, 0));
        }
    }
}

/// Honest messages of a small cluster, to be damaged.
fn honest_messages(seed: u64) -> Vec<Vec<u8>> {
    let mut cluster = Cluster::new(Config::lan(), seed);
    cluster.faults.loss_percent = 20;
    let captured = cluster.capture();
    NAMES.iter().for_each(|name| cluster.start(name, 1));
    NAMES[1..].iter().for_each(|name| cluster.link("a", name));
    cluster.run_for(Duration::from_secs(8));
    captured.take()
}

fn core(now: std::time::Instant) -> Membership {
    let boot = Boot { node: id("b"), generation: Generation::from_u64(1) };
    Membership::new(Config::lan(), LocalMember::new(boot, AddressList::default()), 1, now).unwrap()
}

#[derive(Debug, Clone)]
enum Junk {
    Bytes(Vec<u8>),
    /// An honest message with some bytes changed.
    Damaged {
        which: prop::sample::Index,
        flips: Vec<(prop::sample::Index, u8)>,
    },
    /// Time passes.
    Pause(u64),
}

fn junk() -> impl Strategy<Value = Junk> {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Junk::Bytes),
        8 => (any::<prop::sample::Index>(), flips).prop_map(|(which, flips)| Junk::Damaged { which, flips }),
        1 => (0..5_000_u64).prop_map(Junk::Pause),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_bytes_make_it_panic_or_grow_beyond_its_caps(
        seed in 0..4_u64,
        from in prop::sample::select(vec!["a", "b", "c", "d"]),
        junk in prop::collection::vec(junk(), 1..150),
    ) {
        let honest = honest_messages(seed);
        let mut now = Cluster::new(Config::lan(), 1).now();
        let mut core = core(now);
        core.handle_peer_reachable(now, Boot { node: id("a"), generation: Generation::from_u64(1) }, None);
        for junk in junk {
            let bytes = match junk {
                Junk::Bytes(bytes) => bytes,
                Junk::Damaged { which, flips } => {
                    let mut bytes = which.get(&honest).clone();
                    for (at, with) in flips {
                        let at = at.index(bytes.len());
                        bytes[at] ^= with;
                    }
                    bytes
                }
                Junk::Pause(ms) => {
                    now += Duration::from_millis(ms);
                    core.handle_timeout(now);
                    continue;
                }
            };
            // Whether it is refused does not matter here, only what it does.
            let _ = core.handle_datagram(now, &id(from), &bytes);
            let _ = core.handle_sync(now, &id(from), &bytes);
            prop_assert!(core.poll_timeout().is_some());
        }
        prop_assert!(core.members().len() <= MEMBERS_MAX + ROSTER_NODES_MAX);
        prop_assert!(core.roster().entries().len() <= ROSTER_NODES_MAX);
        prop_assert!(core.roster().entry(&id("b")).is_some(), "nobody takes the own record away");
        let events = std::iter::from_fn(|| core.poll_event()).count();
        prop_assert!(events <= EVENTS_MAX + 1);
        let transmits: Vec<_> = std::iter::from_fn(|| core.poll_transmit()).collect();
        prop_assert!(transmits.len() <= DATAGRAMS_QUEUED_MAX * 2);
        for transmit in transmits {
            prop_assert!(transmit.payload.len() <= DATAGRAM_BYTES_MAX.max(SYNC_BYTES_MAX));
        }
    }
}
