//! Everything of a simulation that is not the cluster's own code: machines, their processes, the network, the clocks.

pub(crate) mod clock;
mod disk;
mod gate;
mod machine;
mod names;
pub(crate) mod random;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use phalanx::{
    Address, Config, Control, ControlBuilder, Environment, Secret, StaticPeers, Worker, WorkerBuilder,
};
use phalanx_base::{Boot, Role, Work};
use phalanx_transport::TlsProvider;

use crate::history::{Entry, History, Recorder};
use crate::network::{Interface, Wire};
use crate::trace::Trace;
use clock::Clock;
pub(crate) use disk::Health;
use gate::{Gate, GatedSpawn};
pub(crate) use machine::Machine;
use names::{Names, SimResolver};
use random::{SeededEntropy, stream, tls};

/// The port that every control node has.
const PORT: u16 = 7000;

/// How long after a node has ended by itself, or could not start, its supervisor starts it again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What the user adds to a control node's builder.
pub(crate) type MakeControl = Arc<dyn Fn(ControlBuilder, &NodeSeams) -> ControlBuilder + Send + Sync>;
/// What the user adds to a worker's builder.
pub(crate) type MakeWorker = Arc<dyn Fn(WorkerBuilder, &NodeSeams) -> WorkerBuilder + Send + Sync>;

/// What a node of a simulation is built with beside its own settings.
#[derive(Clone)]
pub struct NodeSeams {
    /// The machine's name, which is the node's too.
    pub name: String,
    /// Where it may write what happens.
    pub history: Arc<History>,
    /// Which boot it is, once it has started.
    pub boot: Arc<OnceLock<Boot>>,
    /// The seed of the run, for what should differ from run to run.
    pub seed: u64,
}

/// What a simulation is made of.
pub(crate) struct Plan {
    pub(crate) controls: usize,
    pub(crate) workers: usize,
    pub(crate) config: Config,
    /// Whether the nodes are told each other's names.
    pub(crate) introduced: bool,
    pub(crate) make_control: MakeControl,
    pub(crate) make_worker: MakeWorker,
}

/// A running node.
#[derive(Clone)]
pub(crate) enum Running {
    Control(Box<Control>),
    Worker(Worker),
}

impl Running {
    async fn stopped(&self) {
        match self {
            Self::Control(control) => control.stopped().await,
            Self::Worker(worker) => worker.stopped().await,
        }
    }
}

/// A process on a machine.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) boot: Boot,
    pub(crate) gate: Arc<Gate>,
    pub(crate) node: Running,
}

/// One simulated world.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) trace: Arc<Trace>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) history: Arc<History>,
    pub(crate) machines: BTreeMap<String, Machine>,
    processes: Mutex<BTreeMap<String, Process>>,
    plan: Plan,
    secret: Secret,
    tls: TlsProvider,
}

impl World {
    /// A world in which nothing runs yet. Must be called within the simulation's runtime.
    pub(crate) fn new(seed: u64, plan: Plan) -> Arc<Self> {
        let clock = Clock::start();
        let trace = Arc::new(Trace::new());
        let history = History::new(clock, trace.clone());
        let wire = Wire::new(stream(seed, "network"), clock, trace.clone());
        let controls =
            (1..=plan.controls).map(|n| (format!("control-{n}"), Role::Control, [10, 0, 0, n as u8]));
        let workers = (1..=plan.workers).map(|n| (format!("worker-{n}"), Role::Worker, [10, 0, 1, n as u8]));
        let list: Vec<_> =
            controls.chain(workers).map(|(name, role, ip)| (name, role, IpAddr::from(ip))).collect();
        let names: Names = Arc::new(list.iter().map(|(name, _, ip)| (host(name), *ip)).collect());
        let machine = |(name, role, ip): (String, Role, IpAddr)| {
            let machine = Machine::new(role, ip, clock, Arc::new(SimResolver::new(names.clone())));
            (name, machine)
        };
        let machines = list.into_iter().map(machine).collect();
        let secret = Secret::generate(&SeededEntropy::new(stream(seed, "secret")));
        let (processes, tls) = (Mutex::default(), tls(seed));
        Arc::new(Self { seed, clock, trace, wire, history, machines, processes, plan, secret, tls })
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine of that name.
    ///
    /// # Panics
    /// When there is none: the scenario is wrong.
    pub(crate) fn machine(&self, name: &str) -> &Machine {
        self.machines.get(name).unwrap_or_else(|| panic!("no machine is called {name:?}"))
    }

    /// The process that runs on a machine.
    pub(crate) fn process(&self, name: &str) -> Option<Process> {
        self.processes().get(name).cloned()
    }

    /// Every control node that runs, paused ones among them.
    pub(crate) fn controls(&self) -> Vec<(Process, Control)> {
        let control = |process: &Process| match &process.node {
            Running::Control(control) => Some((process.clone(), control.as_ref().clone())),
            Running::Worker(_) => None,
        };
        self.processes().values().filter_map(control).collect()
    }

    /// Every worker that runs, paused ones among them.
    pub(crate) fn workers(&self) -> Vec<(Process, Worker)> {
        let worker = |process: &Process| match &process.node {
            Running::Worker(worker) => Some((process.clone(), worker.clone())),
            Running::Control(_) => None,
        };
        self.processes().values().filter_map(worker).collect()
    }

    /// Runs work as a part of a process: it is paused and killed with it.
    pub(crate) fn run_in(process: &Process, work: Work) {
        tokio::spawn(process.gate.run(work));
    }

    /// Starts the node of a machine, unless it runs or is held down; again and again, where that fails.
    pub(crate) async fn ensure(self: Arc<Self>, name: String) {
        loop {
            if self.machine(&name).is_held() || self.process(&name).is_some() {
                return;
            }
            match self.start(&name).await {
                Ok(process) => return self.supervise(name, process),
                Err(why) => {
                    self.trace.add(self.clock.elapsed(), format_args!("{name} does not start: {why}"));
                    tokio::time::sleep(RESTART_PAUSE).await;
                }
            }
        }
    }

    /// Waits for the end of a process that ends by itself, and starts the next one.
    fn supervise(self: Arc<Self>, name: String, process: Process) {
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = process.gate.dead() => return,
                () = process.node.stopped() => {}
            }
            // The last of its links are still closing.
            tokio::time::sleep(RESTART_PAUSE).await;
            if self.process(&name).is_some_and(|now| Arc::ptr_eq(&now.gate, &process.gate)) {
                self.end(&name, false);
            }
            self.ensure(name).await;
        });
    }

    async fn start(&self, name: &str) -> Result<Process, String> {
        let machine = self.machine(name);
        let (words, history) = (name.to_owned(), self.history.clone());
        let gate = Gate::new(Arc::new(move |panic: &str| {
            history.record(&Entry::Panicked { node: words.clone(), words: panic.to_owned() });
        }));
        let environment = self.environment(name, machine, &gate);
        let seams = NodeSeams {
            name: name.to_owned(),
            history: self.history.clone(),
            boot: Arc::default(),
            seed: self.seed,
        };
        let (boot, node) = match machine.role {
            Role::Control => {
                let builder = Control::builder("sim", &self.secret)
                    .id(name)
                    .listen(&SocketAddr::new(machine.ip, PORT).to_string())
                    .expected_controls(self.plan.controls)
                    .discover(self.peers())
                    .config(self.plan.config.clone())
                    .environment(environment);
                let control = (self.plan.make_control)(builder, &seams).start().await;
                let control = control.map_err(|error| error.to_string())?;
                (control.boot().clone(), Running::Control(Box::new(control)))
            }
            // No machine is an operator's.
            Role::Worker | Role::Operator => {
                let builder = Worker::builder("sim", self.secret.worker_credential())
                    .id(name)
                    .listen(&SocketAddr::new(machine.ip, PORT).to_string())
                    .discover(self.peers())
                    .config(self.plan.config.clone())
                    .environment(environment);
                let worker = (self.plan.make_worker)(builder, &seams).start().await;
                let worker = worker.map_err(|error| error.to_string())?;
                (worker.boot().clone(), Running::Worker(worker))
            }
        };
        self.history
            .record(&Entry::Started { boot: boot.clone(), is_control: machine.role == Role::Control });
        let _ = seams.boot.set(boot.clone());
        let process = Process { boot, gate, node };
        self.processes().insert(name.to_owned(), process.clone());
        Ok(process)
    }

    fn environment(&self, name: &str, machine: &Machine, gate: &Arc<Gate>) -> Environment {
        let random = stream(self.seed, &format!("{name} {}", machine.next_boot()));
        Environment {
            network: Arc::new(Interface { wire: self.wire.clone(), ip: machine.ip }),
            wall_clock: machine.time.clone(),
            entropy: Arc::new(SeededEntropy::new(random)),
            tls: self.tls.clone(),
            resolver: machine.resolver.clone(),
            store: machine.disk.clone(),
            spawn: Arc::new(GatedSpawn(gate.clone())),
            // Two, so that what several shards do to each other is seen as well.
            cores: NonZeroUsize::MIN.saturating_add(1),
            observer: Arc::new(Recorder(self.history.clone())),
            // What the real machine has to do would make a difference.
            meter: None,
        }
    }

    /// Every control node by its name; nobody where the nodes find each other by themselves.
    fn peers(&self) -> StaticPeers {
        if !self.plan.introduced {
            return StaticPeers::default();
        }
        let controls = self.machines.iter().filter(|(_, machine)| machine.role == Role::Control);
        let address = |(name, _): (&String, _)| -> Address {
            format!("{}:{PORT}", host(name)).parse().expect("the name of a machine is a name")
        };
        StaticPeers::new(controls.map(address))
    }

    /// Ends the process of a machine at once, if one runs.
    pub(crate) fn end(&self, name: &str, killed: bool) {
        let Some(process) = self.processes().remove(name) else { return };
        self.wire.unbind(self.machine(name).ip);
        process.gate.kill();
        self.history.record(&Entry::Stopped { boot: process.boot, killed });
    }

    /// Ends everything that runs: the simulation is over.
    pub(crate) fn end_all(&self) {
        let processes = std::mem::take(&mut *self.processes());
        processes.values().for_each(|process| process.gate.kill());
    }

    /// Lets the node of a machine end in order. Returns when it has.
    pub(crate) async fn shut_down(&self, name: &str) {
        let Some(process) = self.process(name) else { return };
        match &process.node {
            Running::Control(control) => control.shutdown().await,
            Running::Worker(worker) => worker.shutdown().await,
        }
    }
}

/// The name that the name service knows a machine by.
fn host(name: &str) -> String {
    format!("{name}.sim")
}
