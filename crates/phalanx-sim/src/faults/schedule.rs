//! Which faults happen when: by rate, from the seed, or by script.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Class, Episode, Fault};
use crate::network::Effect;
use crate::world::random::stream;

/// The faults of a run. Without any it is a test on a good day.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    classes: Vec<Class>,
    episodes_per_minute: f64,
    script: Vec<Episode>,
}

/// How long an episode lasts, at least and at most.
const LENGTH_S: std::ops::Range<f64> = 2.0..40.0;

/// How many draws are made for a place in time before an episode is left out.
const TRIES_MAX: usize = 16;

impl Faults {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every class of fault, four episodes a minute.
    #[must_use]
    pub fn all() -> Self {
        Self { classes: Class::ALL.to_vec(), episodes_per_minute: 4.0, script: Vec::new() }
    }

    /// Only these classes.
    #[must_use]
    pub fn only(classes: impl IntoIterator<Item = Class>) -> Self {
        Self { classes: classes.into_iter().collect(), ..Self::all() }
    }

    /// So many episodes begin in a minute.
    #[must_use]
    pub fn episodes_per_minute(mut self, count: f64) -> Self {
        self.episodes_per_minute = count.max(0.0);
        self
    }

    /// This one happens, too.
    #[must_use]
    pub fn episode(mut self, begin: Duration, length: Duration, fault: Fault) -> Self {
        self.script.push(Episode { begin, length, fault });
        self
    }

    /// The episodes of a seed between the begin of a run and `end`, by which all are over, in the order of their begins.
    pub(crate) fn episodes(
        &self,
        seed: u64,
        end: Duration,
        controls: &[String],
        workers: &[String],
    ) -> Vec<Episode> {
        let mut random = stream(seed, "faults");
        let count = (self.episodes_per_minute * end.as_secs_f64() / 60.0).round() as usize;
        let mut busy = Busy::default();
        let mut nodes = Nodes { controls, workers, random: &mut random };
        let mut episodes = self.script.clone();
        let first = nodes.random.usize(..self.classes.len().max(1));
        for turn in 0..count.min(if self.classes.is_empty() { 0 } else { count }) {
            // Each class in turn, so that none is rare, beginning anywhere.
            let class = self.classes[(first + turn) % self.classes.len()];
            for _ in 0..TRIES_MAX {
                let length = between(nodes.random, LENGTH_S.start, LENGTH_S.end.min(end.as_secs_f64() / 3.0));
                let begin = between(nodes.random, 1.0, (end.as_secs_f64() - length).max(1.0));
                let (begin, length) = (Duration::from_secs_f64(begin), Duration::from_secs_f64(length));
                let fault = nodes.fault(class);
                if busy.take(&fault, begin, length) {
                    episodes.push(Episode { begin, length, fault });
                    break;
                }
            }
        }
        episodes.sort_by_key(|episode| episode.begin);
        episodes
    }
}

fn between(random: &mut fastrand::Rng, least: f64, most: f64) -> f64 {
    least + random.f64() * (most - least).max(0.0)
}

/// What is done to which node when: the same is not done to one node twice at a time.
#[derive(Default)]
struct Busy(BTreeMap<(&'static str, String), Vec<(Duration, Duration)>>);

impl Busy {
    fn take(&mut self, fault: &Fault, begin: Duration, length: Duration) -> bool {
        let (what, node) = match fault {
            Fault::Network { .. } => return true,
            Fault::Crash { node, .. } | Fault::Leave { node } | Fault::Pause { node } => ("process", node),
            Fault::Slow { node, .. } => ("speed", node),
            Fault::ClockJump { node, .. } => ("clock", node),
            Fault::DiskFull { node } | Fault::DiskFailure { node } => ("disk", node),
            Fault::NameService { node } => ("names", node),
        };
        let taken = self.0.entry((what, node.clone())).or_default();
        let free = taken.iter().all(|(from, to)| begin + length < *from || *to < begin);
        if free {
            taken.push((begin, begin + length));
        }
        free
    }
}

/// Whom things are done to.
struct Nodes<'a> {
    controls: &'a [String],
    workers: &'a [String],
    random: &'a mut fastrand::Rng,
}

impl Nodes<'_> {
    /// Any node; control nodes as often as all workers together, since more hangs on them.
    fn any(&mut self) -> String {
        let list = if self.workers.is_empty() || self.random.bool() { self.controls } else { self.workers };
        list[self.random.usize(..list.len())].clone()
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.controls.iter().chain(self.workers)
    }

    /// All nodes in two groups, neither of which is empty.
    fn groups(&mut self) -> (Vec<String>, Vec<String>) {
        let all: Vec<String> = self.all().cloned().collect();
        let mut first: BTreeSet<String> = all.iter().filter(|_| self.random.bool()).cloned().collect();
        first.insert(self.controls[self.random.usize(..self.controls.len())].clone());
        let others: Vec<String> = all.iter().filter(|name| !first.contains(*name)).cloned().collect();
        if others.is_empty() {
            let lone = all[all.len() - 1].clone();
            first.remove(&lone);
            return (first.into_iter().collect(), vec![lone]);
        }
        (first.into_iter().collect(), others)
    }

    /// Two different nodes, of which one at least is a control node, as workers do not talk to each other.
    fn two(&mut self) -> (String, String) {
        let one = self.controls[self.random.usize(..self.controls.len())].clone();
        let others: Vec<String> = self.all().filter(|name| **name != one).cloned().collect();
        let other = others[self.random.usize(..others.len())].clone();
        if self.random.bool() { (one, other) } else { (other, one) }
    }

    fn network(&mut self, effect: Effect) -> Fault {
        if self.random.u8(..4) == 0 {
            let all: Vec<String> = self.all().cloned().collect();
            return Fault::Network { effect, from: all.clone(), to: all, both_ways: true };
        }
        let node = self.any();
        let all = self.all().cloned().collect();
        Fault::Network { effect, from: vec![node], to: all, both_ways: self.random.bool() }
    }

    fn fault(&mut self, class: Class) -> Fault {
        let ms = |random: &mut fastrand::Rng, most: u64| Duration::from_millis(random.u64(1..=most));
        match class {
            Class::Loss => {
                let percent = self.random.u8(2..=40);
                self.network(Effect::Loss { percent })
            }
            Class::Duplication => {
                let percent = self.random.u8(2..=60);
                self.network(Effect::Duplicate { percent })
            }
            Class::Reordering => {
                let (percent, by) = (self.random.u8(5..=60), ms(self.random, 200));
                self.network(Effect::Reorder { percent, by })
            }
            Class::Delay => {
                let (by, jitter) = (ms(self.random, 400), ms(self.random, 400));
                self.network(Effect::Delay { by, jitter })
            }
            Class::OneWay => {
                let (from, to) = self.two();
                Fault::Network { effect: Effect::Cut, from: vec![from], to: vec![to], both_ways: false }
            }
            Class::Partition => {
                let (from, to) = self.groups();
                Fault::Network { effect: Effect::Cut, from, to, both_ways: true }
            }
            Class::PartialPartition => {
                let (from, to) = self.two();
                Fault::Network { effect: Effect::Cut, from: vec![from], to: vec![to], both_ways: true }
            }
            Class::Crash => Fault::Crash { node: self.any(), silent: false, wipe: false },
            Class::SilentCrash => Fault::Crash { node: self.any(), silent: true, wipe: false },
            Class::LostDisk => Fault::Crash { node: self.any(), silent: self.random.bool(), wipe: true },
            Class::Pause => Fault::Pause { node: self.any() },
            Class::Slow => Fault::Slow { node: self.any(), lag: ms(self.random, 50) },
            Class::ClockJump => {
                let (node, ahead_ms) = (self.any(), self.random.i64(-7_200_000..=7_200_000));
                Fault::ClockJump { node, ahead_ms }
            }
            Class::DiskFull => Fault::DiskFull { node: self.any() },
            Class::DiskFailure => Fault::DiskFailure { node: self.any() },
            Class::NameService => Fault::NameService { node: self.any() },
            Class::Leave => Fault::Leave { node: self.any() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &str, count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("{kind}-{n}")).collect()
    }

    #[test]
    fn one_seed_gives_one_schedule_and_all_are_over_in_time() {
        let (controls, workers) = (names("control", 3), names("worker", 6));
        let end = Duration::from_secs(480);
        let make = |seed| Faults::all().episodes(seed, end, &controls, &workers);
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
        for episode in make(7) {
            assert!(episode.begin + episode.length <= end, "{episode}");
        }
        assert!(make(7).len() >= 28);
    }

    #[test]
    fn every_class_is_its_own() {
        let (controls, workers) = (names("control", 3), names("worker", 6));
        for class in Class::ALL {
            let faults = Faults::only([class]).episodes_per_minute(3.0);
            let episodes = faults.episodes(3, Duration::from_secs(600), &controls, &workers);
            assert!(!episodes.is_empty());
            for episode in episodes {
                assert_eq!(episode.fault.class(), class, "{episode}");
            }
        }
    }
}
