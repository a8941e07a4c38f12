//! Errands: what control nodes do at workers beside shipping files, when the demo was asked to show it. Each worker has one
//! errand of each kind at a time, through one control node after the other, and the parent looks at every outcome.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::containers::{ContainerErrand, ContainerOutcome, Containers};
use crate::modules::{ModuleErrand, ModuleOutcome, Modules};

/// For how long after a kill a failure is put down to it: the promises about lost nodes are shorter, slow machines are not.
const SHADOW: Duration = Duration::from_secs(15);

/// What a control node is told to do at a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Errand {
    Module(ModuleErrand),
    Container(ContainerErrand),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Module(ModuleOutcome),
    Container(ContainerOutcome),
}

/// An errand that a control node is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) control: String,
    pub(crate) worker: String,
    pub(crate) errand: Errand,
}

/// How an errand failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A node was killed or stopped meanwhile or shortly before.
    ByKill,
    /// Nothing explains it.
    Unexplained,
}

struct Flight {
    sent: Sent,
    since: Instant,
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Errands {
    pub(crate) modules: Option<Modules>,
    pub(crate) containers: Option<Containers>,
    /// Why errands failed, newest last, as far as nothing explains it.
    pub(crate) complaints: Vec<String>,
    flights: BTreeMap<u64, Flight>,
    next: u64,
    killed_at: Option<Instant>,
}

impl Errands {
    /// A node was killed or stopped: what fails about now is no surprise.
    pub(crate) fn killed(&mut self, now: Instant) {
        self.killed_at = Some(now);
    }

    /// A node is gone: nobody will say what became of the errands that went through it, or to it.
    pub(crate) fn node_lost(&mut self, node: &str) {
        self.flights.retain(|_, flight| flight.sent.control != node && flight.sent.worker != node);
    }

    /// No further errand begins but those that look at what is there.
    pub(crate) fn close(&mut self) {
        if let Some(modules) = &mut self.modules {
            modules.is_closing = true;
        }
        if let Some(containers) = &mut self.containers {
            containers.is_closing = true;
        }
    }

    /// Whether every worker that lives has been through all that is to be shown; once closed, also looked at.
    pub(crate) fn is_done(&self, board: &Board) -> bool {
        board.workers.iter().all(|worker| {
            self.modules.as_ref().is_none_or(|modules| modules.is_done(worker))
                && self.containers.as_ref().is_none_or(|containers| containers.is_done(worker))
        })
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.flights.is_empty()
    }

    /// What is to be begun now.
    pub(crate) fn begin(&mut self, board: &Board, now: Instant) -> Vec<Sent> {
        let controls: Vec<&String> = board.fit_controls().collect();
        let mut all = Vec::new();
        if controls.is_empty() {
            return all;
        }
        for worker in board.workers.iter().filter(|worker| board.host(worker).is_some()) {
            let module = self.modules.as_mut().filter(|_| !is_busy(&self.flights, worker, is_module));
            let module = module.and_then(|modules| modules.next(worker)).map(Errand::Module);
            let container =
                self.containers.as_mut().filter(|_| !is_busy(&self.flights, worker, is_container));
            let container = container.and_then(|containers| containers.next(worker)).map(Errand::Container);
            for errand in module.into_iter().chain(container) {
                self.next += 1;
                let control = controls[self.next as usize % controls.len()].clone();
                let sent = Sent { number: self.next, control, worker: worker.clone(), errand };
                self.flights.insert(self.next, Flight { sent: sent.clone(), since: now });
                all.push(sent);
            }
        }
        all
    }

    /// A control node says what became of an errand.
    pub(crate) fn handle(&mut self, number: u64, result: Result<Outcome, String>, board: &Board) {
        let Some(Flight { sent, since }) = self.flights.remove(&number) else { return };
        let was_near = self.killed_at.is_some_and(|at| at + SHADOW >= since);
        let explained = !board.workers.contains(&sent.worker) || was_near;
        let result = result.map_err(|error| {
            if explained {
                return Failure::ByKill;
            }
            self.complaints.push(format!("{} through {}: {error}", sent.worker, sent.control));
            Failure::Unexplained
        });
        match (sent.errand, result) {
            (Errand::Module(errand), result) => {
                let result = result.and_then(|outcome| match outcome {
                    Outcome::Module(outcome) => Ok(outcome),
                    Outcome::Container(_) => Err(Failure::Unexplained),
                });
                if let Some(modules) = &mut self.modules {
                    modules.handle(&sent.worker, &errand, result);
                }
            }
            (Errand::Container(errand), result) => {
                let result = result.and_then(|outcome| match outcome {
                    Outcome::Container(outcome) => Ok(outcome),
                    Outcome::Module(_) => Err(Failure::Unexplained),
                });
                if let Some(containers) = &mut self.containers {
                    containers.handle(&sent.worker, &errand, result);
                }
            }
        }
    }
}

fn is_module(errand: &Errand) -> bool {
    matches!(errand, Errand::Module(_))
}

fn is_container(errand: &Errand) -> bool {
    matches!(errand, Errand::Container(_))
}

fn is_busy(flights: &BTreeMap<u64, Flight>, worker: &str, of: fn(&Errand) -> bool) -> bool {
    flights.values().any(|flight| flight.sent.worker == worker && of(&flight.sent.errand))
}
