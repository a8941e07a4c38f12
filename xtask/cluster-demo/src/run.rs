//! The demo from its start to its report.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use phalanx::{Secret, SystemEntropy};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::board::Board;
use crate::input;
use crate::options::Options;
use crate::process::{Processes, Said, Start};
use crate::protocol::{Notice, Order};
use crate::report::{Report, percentile};
use crate::work::Work;

pub(crate) type AnyError = Box<dyn Error + Send + Sync>;

/// How many lines of nodes wait to be read; a node that tells more waits.
const SAID_MAX: usize = 10_000;
/// How often the parent looks up from the nodes' lines.
const TICK: Duration = Duration::from_millis(20);
/// How often the memory of all processes is added up.
const MEMORY_INTERVAL: Duration = Duration::from_millis(500);
/// How long the cluster may take to form, and the last work to end.
const FORM_PATIENCE: Duration = Duration::from_secs(30);
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

/// A running demo.
pub(crate) struct Demo {
    pub(crate) board: Board,
    pub(crate) work: Work,
    pub(crate) processes: Processes,
    pub(crate) killed_control_at: Option<Instant>,
    said: mpsc::Receiver<Said>,
    interrupted: mpsc::Receiver<()>,
    secret: Secret,
    folder: TempDir,
    peers: Vec<String>,
    started_at: Instant,
    next_control: usize,
    next_worker: usize,
    resident_bytes_max: u64,
    resident_at: Instant,
    is_working: bool,
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Runs the demo. Says whether everything that must hold did.
pub(crate) async fn run(options: Options) -> Result<bool, AnyError> {
    let folder = match &options.input {
        Some(folder) => folder.clone(),
        None => repository()?,
    };
    let files = input::load(&folder)?;
    if files.is_empty() {
        return Err(format!("there is no file in {}", folder.display()).into());
    }
    let bytes: u64 = files.iter().map(|file| file.summary.bytes).sum();
    println!("{} files, {bytes} bytes, from {}", files.len(), folder.display());
    let mut demo = Demo::new(Work::new(files, options.seed))?;
    let outcome = demo.perform(&options).await;
    let Demo { processes, .. } = demo;
    let orphans = processes.stop().await;
    let mut report = outcome?;
    report.orphans = orphans;
    finish(&options, &report)
}

/// The repository that this program was built in, or the present folder.
fn repository() -> std::io::Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match here.ancestors().find(|folder| folder.join("Cargo.lock").is_file()) {
        Some(root) => Ok(root.to_owned()),
        None => std::env::current_dir(),
    }
}

fn finish(options: &Options, report: &Report) -> Result<bool, AnyError> {
    let json = serde_json::to_string_pretty(report)?;
    println!("\n{json}");
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{json}\n"))?;
    }
    let failures = report.failures(options.faults);
    if failures.is_empty() {
        println!("\neverything holds");
    } else {
        println!("\nDOES NOT HOLD: {}", failures.join("; "));
    }
    Ok(failures.is_empty())
}

impl Demo {
    fn new(work: Work) -> Result<Self, AnyError> {
        let (said_sender, said) = mpsc::channel(SAID_MAX);
        let (interrupt, interrupted) = mpsc::channel(1);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = interrupt.send(()).await;
            }
        });
        Ok(Self {
            board: Board::default(),
            work,
            processes: Processes::new(said_sender),
            killed_control_at: None,
            said,
            interrupted,
            secret: Secret::generate(&SystemEntropy::new()),
            folder: tempfile::tempdir()?,
            peers: Vec::new(),
            started_at: now(),
            next_control: 1,
            next_worker: 1,
            resident_bytes_max: 0,
            resident_at: now(),
            is_working: false,
        })
    }

    pub(crate) fn now(&self) -> Instant {
        now()
    }

    pub(crate) fn say(&self, what: &str) {
        println!("{:>7.1} s    {what}", (now() - self.started_at).as_secs_f64());
    }

    pub(crate) fn check(&self, what: &str) {
        println!("{:>7.1} s  ✓ {what}", (now() - self.started_at).as_secs_f64());
    }

    async fn perform(&mut self, options: &Options) -> Result<Report, AnyError> {
        let formed_ms = self.form(options).await?;
        self.is_working = true;
        let working_since = now();
        self.pump_until(Duration::from_secs(2), |_| false).await?;
        let (mut killed_control, mut killed_worker) = (None, None);
        let (mut joined_control, mut joined_worker) = (None, None);
        if options.faults {
            killed_control = self.kill_control().await?;
            killed_worker = self.kill_worker().await?;
            if let Some(killed) = &mut killed_control
                && !self.settle_killed(killed).await?
            {
                killed_control = None;
            }
            joined_control = self.join_control().await?;
            joined_worker = self.join_worker().await?;
        }
        let least = Duration::from_secs(options.seconds);
        self.pump_until(least.saturating_sub(now() - working_since), |_| false).await?;
        self.pump_until(DRAIN_PATIENCE, |demo| demo.work.is_verified()).await?;
        self.drain().await?;
        let mut latencies_us = std::mem::take(&mut self.board.latencies_us);
        latencies_us.sort_unstable();
        let counts = self.board.counts.clone();
        Ok(Report {
            formed_ms,
            controls: options.controls,
            workers: options.workers,
            files: self.work.files(),
            passes: self.work.passes,
            bytes: self.work.bytes,
            verified: self.work.is_verified(),
            mismatches: self.work.mismatches,
            requests: latencies_us.len(),
            requests_failed: counts.requests_failed,
            request_p50_us: percentile(&latencies_us, 50),
            request_p99_us: percentile(&latencies_us, 99),
            events: counts.events,
            redelivered: counts.redelivered,
            duplicates: counts.duplicates,
            repeated_after_crash: counts.repeated_after_crash,
            gaps: counts.gaps + self.missing(),
            retried_tasks: self.work.retried,
            killed_control,
            killed_worker,
            joined_control,
            joined_worker,
            rss_bytes_max: self.resident_bytes_max,
            orphans: 0,
        })
    }

    /// Numbers that were never handled, and ends that were never told, of tasks on workers that live.
    fn missing(&self) -> u64 {
        let done: usize = self
            .work
            .done_on
            .iter()
            .filter(|(worker, _)| self.board.workers.contains(*worker))
            .map(|(_, count)| count)
            .sum();
        self.board.missing_numbers() + done.saturating_sub(self.board.ended()) as u64
    }

    async fn form(&mut self, options: &Options) -> Result<u64, AnyError> {
        self.peers = free_addresses(options.controls)?;
        self.started_at = now();
        for _ in 0..options.controls {
            self.start_control(options.controls)?;
        }
        for _ in 0..options.workers {
            self.start_worker()?;
        }
        self.say(&format!("started {} control nodes and {} workers", options.controls, options.workers));
        self.tell_workers().await?;
        let all = self.board.controls.clone();
        if !self.pump_until(FORM_PATIENCE, |demo| demo.board.all_see_active(&all)).await? {
            return Err("the control nodes did not find each other: run with RUST_LOG=info to see why".into());
        }
        self.check("the control nodes have found each other");
        if !self.pump_until(FORM_PATIENCE, |demo| demo.board.is_settled()).await? {
            return Err(
                "the workers did not find their control nodes: run with RUST_LOG=info to see why".into()
            );
        }
        let formed_ms = millis(now() - self.started_at);
        self.check(&format!("every worker has its proxy: formed after {formed_ms} ms"));
        Ok(formed_ms)
    }

    /// Lets the work come to its end: nothing new is shipped, and every task that was seen is seen to end.
    async fn drain(&mut self) -> Result<(), AnyError> {
        self.is_working = false;
        self.pump_until(DRAIN_PATIENCE, |demo| demo.work.is_idle()).await?;
        self.pump_until(DRAIN_PATIENCE, |demo| demo.board.unended() == 0 && demo.missing() == 0).await?;
        self.check(&format!("{} files shipped and compared", self.work.done_on.values().sum::<usize>()));
        Ok(())
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
        let (folder, secret) = (self.folder.path(), &self.secret);
        self.processes.start(&Start { role, name, listen, peers: &peers, expected, folder, secret })
    }

    /// Tells every control node who the workers are.
    pub(crate) async fn tell_workers(&mut self) -> std::io::Result<()> {
        let order = Order::Workers(self.board.workers.iter().cloned().collect());
        for control in self.board.controls.clone() {
            self.processes.order(&control, &order).await?;
        }
        Ok(())
    }

    /// Takes in what the nodes say and keeps the work going, until something holds or the time is over. Says whether
    /// it holds.
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
            if self.interrupted.try_recv().is_ok() {
                return Err("interrupted".into());
            }
            if let Ok(Some(said)) = timeout(TICK, self.said.recv()).await {
                self.handle(said);
                while let Ok(said) = self.said.try_recv() {
                    self.handle(said);
                }
            }
            self.ship().await?;
            self.measure();
        }
    }

    fn handle(&mut self, Said { node, notice }: Said) {
        match notice {
            Some(Notice::Shipped { number, result }) => self.work.handle_shipped(number, &result),
            Some(notice) => self.board.handle(now(), &node, notice),
            None => {}
        }
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
            self.resident_bytes_max = self.resident_bytes_max.max(self.processes.resident_bytes());
        }
    }
}

/// Addresses on this machine that were free a moment ago.
fn free_addresses(count: usize) -> std::io::Result<Vec<String>> {
    let sockets: Result<Vec<_>, _> = (0..count).map(|_| std::net::UdpSocket::bind("127.0.0.1:0")).collect();
    sockets?.iter().map(|socket| Ok(socket.local_addr()?.to_string())).collect()
}
