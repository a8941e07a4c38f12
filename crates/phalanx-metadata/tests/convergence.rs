//! Whatever the network does and whoever restarts: once the faults stop, all that run see the same, and it is what a
//! simple model says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::{Cluster, Faults, config, id, key};
use phalanx_metadata::{Key, Order, Stamp, WriteError};
use proptest::prelude::*;

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

#[derive(Debug, Clone)]
enum Act {
    /// Writes a key of a table, or removes it.
    Write {
        node: usize,
        table: usize,
        key: u8,
        order: u64,
        value: Option<u8>,
    },
    Wait(u64),
    Split(u8),
    Heal,
    Faults {
        loss_percent: u64,
        repeat_percent: u64,
        latency_ms_max: u64,
    },
    /// Stops a node and starts it anew in its next generation, with nothing.
    Restart(usize),
    /// Stops a node and removes it from the roster.
    Remove(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let node = 0..NAMES.len();
    prop_oneof![
        10 => (node.clone(), 0..3_usize, 0..5_u8, 0..6_u64, prop::option::weighted(0.7, any::<u8>()))
            .prop_map(|(node, table, key, order, value)| Act::Write { node, table, key, order, value }),
        5 => (1..2_500_u64).prop_map(Act::Wait),
        1 => (10_000..100_000_u64).prop_map(Act::Wait),
        1 => (600_000..1_200_000_u64).prop_map(Act::Wait),
        1 => any::<u8>().prop_map(Act::Split),
        1 => Just(Act::Heal),
        1 => (0..50_u64, 0..50_u64, 1..400_u64).prop_map(|(loss_percent, repeat_percent, latency_ms_max)| {
            Act::Faults { loss_percent, repeat_percent, latency_ms_max }
        }),
        1 => node.clone().prop_map(Act::Restart),
        1 => node.prop_map(Act::Remove),
    ]
}

/// What was written under a key last by the rule of its table, as a model of one map says: what it is compared by, and
/// the value, `None` for a removal.
type Said = ((Order, Stamp), Option<Bytes>);

struct World {
    cluster: Cluster,
    generation: u64,
    /// Nobody stops, or is split off for an hour, before the others know what it knows.
    gentle: bool,
    model: BTreeMap<Key, Said>,
    /// Whether nodes were lost, and with them what goes with its writer.
    lost: bool,
    split_ms: u64,
}

impl World {
    fn new(nodes: usize, seed: u64, gentle: bool) -> Self {
        let mut cluster = Cluster::new(config(), seed);
        cluster.start_all(&NAMES[..nodes]);
        Self { cluster, generation: 1, gentle, model: BTreeMap::new(), lost: false, split_ms: 0 }
    }

    fn runs(&self, node: usize) -> bool {
        self.cluster.nodes.contains_key(&id(NAMES[node]))
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Write { node, table, key, order, value } if self.runs(node) => {
                self.write(node, table, key, order, value);
            }
            Act::Wait(ms) if self.gentle && self.split_ms + ms > 3_000_000 => self.settle(),
            Act::Wait(ms) => {
                self.split_ms += ms;
                self.cluster.run_for(Duration::from_millis(ms));
            }
            Act::Split(mask) => {
                self.cluster.split(|node| mask >> (node.as_str().as_bytes()[0] - b'a') & 1);
            }
            Act::Heal => self.cluster.split(|_| 0),
            Act::Faults { loss_percent, repeat_percent, latency_ms_max } => {
                self.cluster.faults = Faults { loss_percent, repeat_percent, latency_ms_max };
            }
            Act::Restart(node) if self.runs(node) => {
                self.lose();
                self.generation += 1;
                self.cluster.kill(NAMES[node]);
                self.cluster.start(NAMES[node], self.generation, 0);
                self.cluster.tell();
            }
            Act::Remove(node) if self.runs(node) && self.cluster.nodes.len() > 2 => {
                self.lose();
                self.cluster.roster.remove(&id(NAMES[node]));
                self.cluster.kill(NAMES[node]);
            }
            _ => {}
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        if self.gentle {
            self.settle();
        }
    }

    fn write(&mut self, node: usize, table: usize, number: u8, order: u64, value: Option<u8>) {
        let name = NAMES[node];
        let key = match table {
            0 => key("own", &format!("{name}/{number}")),
            1 => key("jobs", &format!("job-{number}")),
            _ => key("places", &format!("worker-{number}")),
        };
        let value = value.map(|value| Bytes::from(vec![value]));
        let order = Order(if table == 2 { order } else { 0 }, 0);
        let written = self.cluster.with(name, |core, now, unix_ms| match (table, value.clone()) {
            (2, Some(value)) => core.set_ordered(now, unix_ms, &key, order, value).map(Some),
            (2, None) => core.remove_ordered(now, unix_ms, &key, order),
            (_, Some(value)) => core.set(now, unix_ms, &key, value).map(Some),
            (_, None) => core.remove(now, unix_ms, &key),
        });
        match written {
            Ok(Some(stamp)) => {
                let said = ((order, stamp), value);
                let before = self.model.entry(key).or_insert_with(|| said.clone());
                *before = before.clone().max(said);
            }
            Ok(None) => {}
            Err(error) => assert!(matches!(error, WriteError::Outranked { .. }), "{error}"),
        }
    }

    fn settle(&mut self) {
        self.cluster.faults = Faults::default();
        self.cluster.split(|_| 0);
        self.split_ms = 0;
        // Who came after a node was removed never has its log; the others drop theirs after ten minutes.
        let limit = Duration::from_secs(if self.lost { 720 } else { 30 });
        let settled = self.cluster.run_until(limit, Cluster::agrees);
        assert!(settled.is_some(), "they do not agree: {}", self.cluster.describe());
    }

    fn check_model(&self) {
        let name = self.cluster.nodes.keys().next().unwrap();
        let told = |table: &str| !self.lost || table == "jobs";
        let expected =
            self.model.iter().filter(|(key, (_, value))| value.is_some() && told(key.table().as_str()));
        let expected: Vec<_> =
            expected.map(|(key, (by, value))| (key, &by.1, value.as_ref().unwrap())).collect();
        let seen = self.cluster.seen_by(name.as_str());
        let seen: Vec<_> = seen.iter().filter(|seen| told(seen.key.table().as_str())).collect();
        let seen: Vec<_> = seen.iter().map(|seen| (&seen.key, &seen.stamp, &seen.value)).collect();
        assert_eq!(seen, expected, "{}", self.cluster.describe());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_time: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn once_the_faults_stop_all_that_run_agree(
        nodes in 2..=NAMES.len(),
        seed: u64,
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut world = World::new(nodes, seed, false);
        for act in &acts {
            world.act(act);
            world.cluster.check_caps();
        }
        world.settle();
    }

    #[test]
    fn nothing_that_others_knew_is_lost_and_nothing_removed_comes_back(
        nodes in 2..=NAMES.len(),
        seed: u64,
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut world = World::new(nodes, seed, true);
        for act in &acts {
            world.act(act);
        }
        world.settle();
        world.check_model();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_time: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_dead_is_forgotten_in_the_end_and_what_lives_is_not(
        nodes in 2..=NAMES.len(),
        seed: u64,
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut world = World::new(nodes, seed, true);
        for act in &acts {
            world.act(act);
        }
        world.settle();
        world.cluster.run_for(Duration::from_secs(2 * 3_600));
        prop_assert!(world.cluster.agrees());
        world.check_model();
        let name = world.cluster.nodes.keys().next().unwrap().as_str();
        let (visible, status) = (world.cluster.seen_by(name).len(), world.cluster.core(name).status());
        prop_assert!(status.logs <= world.cluster.nodes.len());
        prop_assert_eq!(status.records, visible, "{}", world.cluster.describe());
    }
}
