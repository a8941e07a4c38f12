//! The running demo: its processes, what is known of them, and the one loop that keeps everything going.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use phalanx::{Secret, SystemEntropy};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::awaited::{Awaited, PATIENCE, Watch};
use crate::board::{Board, Counts};
use crate::change::Changes;
use crate::daemon::Daemon;
use crate::drivers::Drivers;
use crate::errand::Errands;
use crate::jobs::Job;
use crate::journal::{Journal, Tone};
use crate::live::Screen;
use crate::process::{Processes, Said, Start};
use crate::protocol::{Notice, Order};
use crate::report::Findings;
use crate::work::Work;

pub(crate) type AnyError = Box<dyn Error + Send + Sync>;

/// How many lines of nodes wait to be read; a node that tells more waits.
const SAID_MAX: usize = 10_000;
/// How often the parent looks up from the nodes' lines.
const TICK: Duration = Duration::from_millis(20);
/// How often the memory of all processes is added up.
const MEMORY_INTERVAL: Duration = Duration::from_millis(500);
/// How many things are awaited in the background, so that somebody who leans on a key fills no memory.
const WATCHES_MAX: usize = 100;

/// How many nodes are remembered that have ended, for the screen.
const DEPARTED_MAX: usize = 16;

/// A control node that was told to leave.
pub(crate) struct Leave {
    pub(crate) hosted: Vec<String>,
    pub(crate) counts: Counts,
    /// How many of its workers had another host when it ended.
    pub(crate) moved_before_exit: Option<usize>,
}

/// See the module's page.
pub(crate) struct Demo {
    pub(crate) board: Board,
    pub(crate) work: Work,
    pub(crate) processes: Processes,
    pub(crate) journal: Journal,
    pub(crate) changes: Changes,
    pub(crate) findings: Findings,
    pub(crate) leaves: BTreeMap<String, Leave>,
    pub(crate) screen: Option<Screen>,
    pub(crate) errands: Errands,
    /// Where containers run.
    pub(crate) daemon: Option<Daemon>,
    pub(crate) job: Option<Job>,
    /// What workers are started with.
    pub(crate) drivers: Drivers,
    /// Whether errands are begun.
    pub(crate) does_errands: bool,
    /// How many failures of errands there were that nothing explains.
    pub(crate) complaints: usize,
    /// When something was done to the cluster, last.
    pub(crate) changed_at: Instant,
    /// Whether files are shipped.
    pub(crate) is_working: bool,
    /// Whether keys do something to the cluster: not while a script does.
    pub(crate) takes_keys: bool,
    pub(crate) peers: Vec<String>,
    /// How many control nodes were killed: the roster goes on counting them.
    pub(crate) controls_killed: usize,
    /// Nodes that have ended, oldest first.
    pub(crate) departed: VecDeque<(String, Instant)>,
    watches: Vec<Watch>,
    said: mpsc::Receiver<Said>,
    interrupted: mpsc::Receiver<()>,
    secret: Secret,
    folder: TempDir,
    started_at: Instant,
    next_control: usize,
    next_worker: usize,
    resident_at: Instant,
}

/// Somebody has pressed the key.
#[derive(Debug)]
pub(crate) struct Quit;

impl std::fmt::Display for Quit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("quit")
    }
}

impl Error for Quit {}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Demo {
    pub(crate) fn new(work: Work, screen: Option<Screen>) -> Result<Self, AnyError> {
        let (said_sender, said) = mpsc::channel(SAID_MAX);
        Ok(Self {
            board: Board::new(now()),
            work,
            processes: Processes::new(said_sender, screen.is_some()),
            journal: Journal { is_silent: screen.is_some(), ..Journal::default() },
            changes: Changes::default(),
            findings: Findings::default(),
            leaves: BTreeMap::new(),
            screen,
            errands: Errands::default(),
            daemon: None,
            job: None,
            drivers: Drivers::default(),
            does_errands: false,
            complaints: 0,
            changed_at: now(),
            is_working: false,
            takes_keys: false,
            peers: Vec::new(),
            controls_killed: 0,
            departed: VecDeque::new(),
            watches: Vec::new(),
            said,
            interrupted: interruption()?,
            secret: Secret::generate(&SystemEntropy::new()),
            folder: tempfile::tempdir()?,
            started_at: now(),
            next_control: 1,
            next_worker: 1,
            resident_at: now(),
        })
    }

    /// Where the nodes' stores are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How long the demo runs.
    pub(crate) fn elapsed(&self) -> Duration {
        now() - self.started_at
    }

    pub(crate) fn say(&mut self, what: &str) {
        self.journal.write(self.elapsed(), Tone::Plain, what);
    }

    pub(crate) fn check(&mut self, what: &str) {
        self.journal.write(self.elapsed(), Tone::Good, what);
    }

    pub(crate) fn complain(&mut self, what: &str) {
        self.journal.write(self.elapsed(), Tone::Bad, what);
    }

    /// Says what was done to the cluster, and marks it in the plots.
    pub(crate) fn mark(&mut self, what: &str) {
        self.changed_at = now();
        self.journal.mark(self.elapsed(), what);
        self.say(what);
    }

    /// A node has ended: whoever watches sees it for a while.
    pub(crate) fn remember(&mut self, node: &str) {
        if self.departed.len() == DEPARTED_MAX {
            self.departed.pop_front();
        }
        self.departed.push_back((node.to_owned(), now()));
    }

    /// Starts a control node. The first ones have addresses that all know; later ones take any.
    pub(crate) fn start_control(&mut self, expected: usize) -> std::io::Result<String> {
        let name = format!("control-{}", self.next_control);
        let listen =
            self.peers.get(self.next_control - 1).cloned().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        self.next_control += 1;
        self.start("control", &name, &listen, expected)?;
        self.board.controls.insert(name.clone());
        Ok(name)
    }

    pub(crate) fn start_worker(&mut self) -> std::io::Result<String> {
        let name = format!("worker-{}", self.next_worker);
        self.next_worker += 1;
        self.start("worker", &name, "127.0.0.1:0", 0)?;
        self.board.workers.insert(name.clone());
        Ok(name)
    }

    fn start(&mut self, role: &str, name: &str, listen: &str, expected: usize) -> std::io::Result<()> {
        let peers = self.peers.join(",");
        let (folder, secret, drivers) = (self.folder.path(), &self.secret, &self.drivers);
        self.processes.start(&Start { role, name, listen, peers: &peers, expected, folder, secret, drivers })
    }

    /// Tells every control node that takes orders who the workers are.
    pub(crate) async fn tell_workers(&mut self) -> std::io::Result<()> {
        let order = Order::Workers(self.board.workers.iter().cloned().collect());
        for control in self.board.controls.difference(&self.board.unfit).cloned().collect::<Vec<_>>() {
            self.processes.order(&control, &order).await?;
        }
        Ok(())
    }

    /// Keeps everything going until something holds or the time is over. Says whether it holds.
    pub(crate) async fn pump_until(
        &mut self,
        limit: Duration,
        holds: impl Fn(&Demo) -> bool,
    ) -> Result<bool, AnyError> {
        let until = now() + limit;
        loop {
            if holds(self) {
                return Ok(true);
            }
            if now() >= until {
                return Ok(false);
            }
            self.step().await?;
        }
    }

    /// Keeps everything going until something is so. Says how long that took since then; nothing if it took too long.
    pub(crate) async fn wait(&mut self, awaited: &Awaited, since: Instant) -> Result<Option<u64>, AnyError> {
        let until = now() + PATIENCE;
        loop {
            if let Some(at) = awaited.holds(&self.board, since, now()) {
                return Ok(Some(self.came_true(awaited, at - since)));
            }
            if now() >= until {
                self.complain(&awaited.missed());
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// Waits in the background.
    pub(crate) fn watch(&mut self, awaited: Awaited) {
        if self.watches.len() < WATCHES_MAX {
            self.watches.push(Watch { awaited, since: now(), until: now() + PATIENCE });
        }
    }

    /// Nobody will say what became of what was under way there.
    pub(crate) fn node_lost(&mut self, node: &str) {
        self.work.node_lost(node);
        self.errands.node_lost(node);
    }

    fn look_after_watches(&mut self) {
        for watch in std::mem::take(&mut self.watches) {
            if let Some(at) = watch.awaited.holds(&self.board, watch.since, now()) {
                self.came_true(&watch.awaited, at - watch.since);
            } else if now() >= watch.until {
                self.complain(&watch.awaited.missed());
            } else {
                self.watches.push(watch);
            }
        }
    }

    fn came_true(&mut self, awaited: &Awaited, after: Duration) -> u64 {
        let after_ms = millis(after);
        self.check(&awaited.done(after_ms));
        match awaited {
            Awaited::NotConnected(worker) => self.node_lost(worker),
            Awaited::Balanced => {
                if let Some(change) = self.changes.finish(self.elapsed(), &self.board)
                    && let (Some(workers), Some(partitions)) = (change.workers, change.partitions)
                {
                    self.check(&format!(
                        "{} workers moved, {} had to; {} partitions moved, {} had to",
                        workers.moved, workers.ideal, partitions.partitions, partitions.ideal
                    ));
                }
            }
            _ => {}
        }
        after_ms
    }

    /// Takes in what the nodes say, keeps the work going, and shows it.
    async fn step(&mut self) -> Result<(), AnyError> {
        if self.interrupted.try_recv().is_ok() {
            return Err("interrupted".into());
        }
        if let Ok(Some(said)) = timeout(TICK, self.said.recv()).await {
            self.handle(said).await?;
            for _ in 0..SAID_MAX {
                let Ok(said) = self.said.try_recv() else { break };
                self.handle(said).await?;
            }
        }
        self.board.samples.tick(self.elapsed());
        self.look_after_watches();
        self.ship().await?;
        self.run_errands().await?;
        self.measure();
        self.show().await
    }

    async fn handle(&mut self, Said { node, notice }: Said) -> Result<(), AnyError> {
        match notice {
            Some(Notice::Shipped { number, result }) => self.work.handle_shipped(number, &result),
            Some(Notice::Done { number, result }) => self.errands.handle(number, result, &self.board),
            Some(Notice::JobApplied { result }) => {
                if let Some(job) = &mut self.job {
                    job.applied = Some(result);
                }
            }
            Some(Notice::Job(seen)) => {
                let is_at_rest = self.is_at_rest();
                if let Some(job) = &mut self.job {
                    job.handle(seen, &self.board, is_at_rest);
                }
            }
            Some(Notice::Complained { line }) => self.complain(&format!("{node} says: {line}")),
            Some(notice) => self.board.handle(now(), &node, notice),
            None => self.handle_exit(&node).await?,
        }
        Ok(())
    }

    /// A process has ended. Of those that were killed nothing is known any more.
    async fn handle_exit(&mut self, node: &str) -> Result<(), AnyError> {
        let (is_control, is_worker) = (self.board.controls.contains(node), self.board.workers.contains(node));
        if !is_control && !is_worker {
            return Ok(());
        }
        self.board.exited(now(), node);
        self.changed_at = now();
        let in_order = self.processes.reap(node).await;
        self.remember(node);
        if in_order && let Some(leave) = self.leaves.get_mut(node) {
            let moved =
                leave.hosted.iter().filter(|worker| self.board.is_hosted_beside(worker, node)).count();
            leave.moved_before_exit = Some(moved);
            let all = leave.hosted.len();
            self.say(&format!("{node} has ended; {moved} of its {all} workers had moved before"));
        } else {
            self.findings.ended_by_themselves += 1;
            self.complain(&format!("{node} has ended by itself"));
            self.errands.killed(now());
            if is_control {
                self.board.control_crashed(node);
            }
        }
        self.node_lost(node);
        if is_control {
            self.board.control_gone(node);
            if self.takes_keys {
                self.watch(Awaited::Balanced);
            }
        } else {
            self.board.worker_gone(node);
            self.tell_workers().await?;
        }
        Ok(())
    }

    async fn ship(&mut self) -> std::io::Result<()> {
        if !self.is_working {
            return Ok(());
        }
        self.work.refill();
        for shipment in self.work.shipments(&self.board) {
            let order = Order::Ship { number: shipment.number, worker: shipment.worker, path: shipment.path };
            self.processes.order(&shipment.control, &order).await?;
        }
        Ok(())
    }

    fn measure(&mut self) {
        if now() >= self.resident_at {
            self.resident_at = now() + MEMORY_INTERVAL;
            let resident = self.processes.resident_bytes();
            self.findings.rss_bytes_max = self.findings.rss_bytes_max.max(resident);
        }
    }
}

/// Ctrl-C, or another request to end: the cluster is taken down and the terminal given back, whoever asks.
fn interruption() -> std::io::Result<mpsc::Receiver<()>> {
    let (interrupt, interrupted) = mpsc::channel(1);
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        #[cfg(unix)]
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        let _ = interrupt.send(()).await;
    });
    Ok(interrupted)
}
