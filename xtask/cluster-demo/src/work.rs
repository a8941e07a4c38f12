//! The work: every file, to some worker, through some control node; again elsewhere if that fails; and again from the
//! start when all are done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::board::Board;
use crate::digest::Summary;
use crate::input::{self, Expected};

/// How many files are under way for each living control node.
const FLIGHTS_PER_CONTROL: usize = 2;

/// How often a file is tried before the demo calls it lost.
const TRIES_MAX: u32 = 100;

/// A file on its way.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    file: usize,
    pub(crate) control: String,
    pub(crate) worker: String,
}

/// An order to be given to a control node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shipment {
    pub(crate) number: u64,
    pub(crate) control: String,
    pub(crate) worker: String,
    pub(crate) path: PathBuf,
}

pub(crate) struct Work {
    files: Vec<Expected>,
    queue: VecDeque<usize>,
    tries: BTreeMap<usize, u32>,
    flights: BTreeMap<u64, Flight>,
    next: u64,
    random: u64,
    verified: BTreeSet<usize>,
    /// Which workers have finished how many tasks well.
    pub(crate) done_on: BTreeMap<String, usize>,
    pub(crate) bytes: u64,
    pub(crate) mismatches: u64,
    pub(crate) retried: u64,
    pub(crate) lost: u64,
    pub(crate) passes: u64,
}

impl Work {
    pub(crate) fn new(files: Vec<Expected>, seed: u64) -> Self {
        Self {
            queue: (0..files.len()).collect(),
            files,
            tries: BTreeMap::new(),
            flights: BTreeMap::new(),
            next: 1,
            random: seed,
            verified: BTreeSet::new(),
            done_on: BTreeMap::new(),
            bytes: 0,
            mismatches: 0,
            retried: 0,
            lost: 0,
            passes: 0,
        }
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    /// Whether every file has come back right at least once.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified.len() == self.files.len() && self.lost == 0
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    pub(crate) fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.values()
    }

    /// Begins the next pass when one is over.
    pub(crate) fn refill(&mut self) {
        if self.queue.is_empty() && self.flights.is_empty() {
            self.passes += 1;
            self.tries.clear();
            self.queue = (0..self.files.len()).collect();
        }
    }

    /// What can be shipped now.
    pub(crate) fn shipments(&mut self, board: &Board) -> Vec<Shipment> {
        let controls: Vec<&String> = board.fit_controls().collect();
        let workers: Vec<&String> =
            board.workers.iter().filter(|worker| board.host(worker).is_some()).collect();
        let mut shipments = Vec::new();
        while self.flights.len() < FLIGHTS_PER_CONTROL * controls.len() && !workers.is_empty() {
            let Some(file) = self.queue.pop_front() else { break };
            let control = controls[self.choose(controls.len())].clone();
            let worker = workers[self.choose(workers.len())].clone();
            let number = self.next;
            self.next += 1;
            let path = self.files[file].path.clone();
            self.flights.insert(number, Flight { file, control: control.clone(), worker: worker.clone() });
            shipments.push(Shipment { number, control, worker, path });
        }
        shipments
    }

    /// A control node says what became of a file.
    pub(crate) fn handle_shipped(&mut self, number: u64, result: &Result<Summary, String>) {
        let Some(flight) = self.flights.remove(&number) else { return };
        match result {
            Ok(summary) if *summary == self.files[flight.file].summary => {
                self.verified.insert(flight.file);
                self.bytes += summary.bytes;
                *self.done_on.entry(flight.worker).or_default() += 1;
            }
            // A file that was edited meanwhile is not the file that was read; it goes again, as it is now.
            Ok(_) => match input::summary(&self.files[flight.file].path) {
                Ok(now) if now != self.files[flight.file].summary => {
                    self.files[flight.file].summary = now;
                    self.queue.push_back(flight.file);
                }
                _ => self.mismatches += 1,
            },
            Err(_) => self.again(flight.file),
        }
    }

    /// A control node was killed, or a worker was lost: what was under way there goes again, elsewhere.
    pub(crate) fn node_lost(&mut self, node: &str) {
        let gone = |flight: &Flight| flight.control == node || flight.worker == node;
        let lost: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| gone(flight)).map(|(number, _)| *number).collect();
        for number in lost {
            if let Some(flight) = self.flights.remove(&number) {
                self.again(flight.file);
            }
        }
    }

    fn again(&mut self, file: usize) {
        let tries = self.tries.entry(file).or_default();
        *tries += 1;
        if *tries >= TRIES_MAX {
            self.lost += 1;
        } else {
            self.retried += 1;
            self.queue.push_back(file);
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn choose(&mut self, count: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % count as u64) as usize
    }
}
