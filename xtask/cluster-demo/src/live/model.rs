//! What a frame is drawn from: plain values, taken from the demo at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::demo::{Demo, now};
use crate::journal::Line;
use crate::samples::Second;

/// How many seconds the sparkline may show, and how many lines the events: wider and higher screens are rare.
const SECONDS_SHOWN_MAX: usize = 300;
const LINES_SHOWN_MAX: usize = 100;

/// How long a node is shown that has ended.
const DEPARTED_SHOWN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) elapsed: Duration,
    pub(super) controls: Vec<ControlRow>,
    pub(super) workers: Vec<WorkerRow>,
    /// The part of the partitions that each control node owns, from 0 to 1.
    pub(super) shares: BTreeMap<String, f64>,
    pub(super) tasks_running: usize,
    pub(super) files_done: usize,
    pub(super) bytes_done: u64,
    pub(super) mismatches: u64,
    /// How far is what is shown beside files, in a few words; empty if that is nothing.
    pub(super) shown: String,
    /// The seconds that are over, newest last.
    pub(super) seconds: Vec<Second>,
    /// What has happened, newest last.
    pub(super) lines: Vec<Line>,
    /// Whether the script acts on the cluster, so that keys do not.
    pub(super) is_scripted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ControlRow {
    pub(super) name: String,
    pub(super) process: Option<u32>,
    pub(super) state: &'static str,
    pub(super) workers: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkerRow {
    pub(super) name: String,
    pub(super) process: Option<u32>,
    pub(super) state: String,
    pub(super) owner: Option<String>,
    pub(super) tasks: usize,
}

impl Model {
    pub(super) fn of(demo: &Demo) -> Self {
        let seconds = &demo.board.samples.seconds;
        let lines = &demo.journal.lines;
        Self {
            elapsed: demo.elapsed(),
            controls: control_rows(demo),
            workers: worker_rows(demo),
            shares: demo.board.shares(),
            tasks_running: demo.work.flights().count(),
            files_done: demo.work.done_on.values().sum(),
            bytes_done: demo.work.bytes,
            mismatches: demo.wrong(),
            shown: demo.shown(),
            seconds: seconds.iter().skip(seconds.len().saturating_sub(SECONDS_SHOWN_MAX)).cloned().collect(),
            lines: lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN_MAX)).cloned().collect(),
            is_scripted: !demo.takes_keys,
        }
    }
}

fn departed<'a>(demo: &'a Demo, role: &'a str) -> impl Iterator<Item = &'a str> {
    let recent = demo.departed.iter().filter(|(_, at)| now() - *at < DEPARTED_SHOWN);
    recent.map(|(name, _)| name.as_str()).filter(move |name| name.starts_with(role))
}

fn control_rows(demo: &Demo) -> Vec<ControlRow> {
    let board = &demo.board;
    let state = |name: &String| {
        if demo.leaves.contains_key(name) {
            "leaving"
        } else if board.unfit.contains(name) {
            "stopped"
        } else if board.is_ready(name) {
            "running"
        } else {
            "starting"
        }
    };
    let living = board.controls.iter().map(|name| ControlRow {
        name: name.clone(),
        process: demo.processes.id(name),
        state: state(name),
        workers: board.hosted_by(name).len(),
    });
    let ended = departed(demo, "control").map(|name| {
        let has_left = board.seen_leaving(name).is_some();
        let state = match (has_left, board.seen_down(name)) {
            (true, _) => "has left",
            (false, Some(_)) => "seen down",
            (false, None) => "gone",
        };
        ControlRow { name: name.to_owned(), process: None, state, workers: 0 }
    });
    living.chain(ended).collect()
}

fn worker_rows(demo: &Demo) -> Vec<WorkerRow> {
    let board = &demo.board;
    let mut tasks: BTreeMap<&str, usize> = BTreeMap::new();
    for flight in demo.work.flights() {
        *tasks.entry(&flight.worker).or_default() += 1;
    }
    let row = |name: &str, state: String| WorkerRow {
        name: name.to_owned(),
        process: demo.processes.id(name),
        state,
        owner: board.host(name).cloned(),
        tasks: tasks.get(name).copied().unwrap_or(0),
    };
    let said = |name: &str| board.status(name).map_or("starting".to_owned(), |status| status.to_string());
    let living = board.workers.iter().map(|name| row(name, said(name)));
    let ended = departed(demo, "worker").map(|name| {
        let is_noticed = board.seen_lost(name).is_some();
        row(name, if is_noticed { "not connected" } else { "gone" }.to_owned())
    });
    living.chain(ended).collect()
}
