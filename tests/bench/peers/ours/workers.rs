//! Many workers in one process, each with a socket and a link of its own.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use phalanx::{
    Environment, MemoryStore, Meter, Metrics, NodeStatus, Secret, StaticPeers, SystemMeter, Worker,
};
use tokio::time::{Instant, sleep, timeout};

use super::CLUSTER;
use super::class::{Load, Loader};
use crate::Failure;
use crate::client::{Client, say, take_orders};
use crate::order::{Figures, Order};

/// How many look for their owner at one time: on machines of their own they would share no core for it.
const ATTACHING_MAX: usize = 32;

/// How long one of them may take, and all to have another owner.
const ATTACH_MAX: Duration = Duration::from_secs(240);

/// How often a machine is measured: as often as one worker reports.
const METER_INTERVAL: Duration = Duration::from_secs(5);

/// How often the workers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Takes orders to start them. `arguments` are the secret and the addresses of the control nodes with commas between them.
pub(crate) async fn workers(arguments: &[&str]) -> Result<(), Failure> {
    let [secret, addresses] = arguments else {
        return Err("workers need a secret and addresses".into());
    };
    let secret: Secret = secret.parse()?;
    let addresses = addresses.split(',').map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    // One pool of threads for the handlers of all.
    let environment = Environment::real()?.with_meter(Shared::default());
    say("ready")?;
    take_orders(Workers { secret, addresses, environment, workers: Mutex::default() }).await
}

struct Workers {
    secret: Secret,
    addresses: Vec<SocketAddr>,
    environment: Environment,
    workers: Mutex<Vec<Worker>>,
}

impl Workers {
    /// Starts one and waits until it is ready.
    async fn start(&self, number: usize) -> Result<Worker, Failure> {
        let worker = Worker::builder(CLUSTER, self.secret.worker_credential())
            .id(&format!("worker-{number}"))
            .listen("127.0.0.1:0")
            .discover(StaticPeers::new(self.addresses.clone()))
            .environment(self.environment.clone().with_store(MemoryStore::default()))
            .job::<Load>(Loader);
        let worker = Box::pin(worker.start()).await?;
        let ready = timeout(ATTACH_MAX, worker.wait_for(NodeStatus::Ready)).await;
        ready.map_err(|_| "not all workers have an owner")?;
        Ok(worker)
    }

    /// Starts so many and waits until all are ready.
    async fn attach(&self, count: usize, from: usize) -> Result<Figures, Failure> {
        let begin = Instant::now();
        let starting = stream::iter(from..from + count).map(|number| self.start(number));
        let started: Vec<Worker> = starting.buffer_unordered(ATTACHING_MAX).try_collect().await?;
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).extend(started);
        let seconds = begin.elapsed().as_secs_f64();
        Ok(Figures { calls: count as f64, seconds, ..Figures::default() })
    }

    fn are_owned_without(&self, lost: &str) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().all(|worker| worker.owner().is_some_and(|owner| owner.as_str() != lost))
    }

    /// Waits until all have an owner that is another one.
    async fn rehome(&self, lost: &str) -> Result<Figures, Failure> {
        let begin = Instant::now();
        while !self.are_owned_without(lost) {
            if begin.elapsed() > ATTACH_MAX {
                return Err("not all workers have another owner".into());
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(Figures { calls: 1.0, seconds: begin.elapsed().as_secs_f64(), ..Figures::default() })
    }
}

impl Client for Workers {
    type Caller = Nobody;

    async fn callers(&self, _: usize) -> Result<Vec<Nobody>, Failure> {
        Err("workers call nobody".into())
    }

    async fn more(&self, order: &Order) -> Result<Figures, Failure> {
        match order {
            Order::Attach { count, from } => self.attach(*count, *from).await,
            Order::Rehome { lost } => self.rehome(lost).await,
            _ => Err(format!("workers do not know {order}").into()),
        }
    }
}

/// Workers have none.
pub(crate) enum Nobody {}

impl crate::client::Caller for Nobody {
    async fn call(&mut self, _: bytes::Bytes) -> Result<(), Failure> {
        match *self {}
    }
}

/// One machine, measured for all of its workers.
#[derive(Default)]
struct Shared(Mutex<Measured>);

#[derive(Default)]
struct Measured {
    meter: SystemMeter,
    last: Option<(Instant, Metrics)>,
}

impl Meter for Shared {
    fn measure(&self) -> Metrics {
        let Measured { meter, last } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some((at, metrics)) if at.elapsed() < METER_INTERVAL => *metrics,
            _ => last.insert((Instant::now(), meter.measure())).1,
        }
    }
}
