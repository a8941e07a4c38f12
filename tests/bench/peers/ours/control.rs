//! The control node's process: it takes the orders.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use phalanx::{
    ClusterEvent, Control, EventContext, EventHandler, NodeId, Secret, StaticPeers, TaskHandle, WorkerHandle,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::class::{Load, Work};
use super::{CLUSTER, WORKER, files};
use crate::Failure;
use crate::client::{Caller, Client, closed_loop, each_millisecond, say, take_orders};
use crate::content::{Content, Pace};
use crate::order::{Figures, Order};

/// How long the worker may take to be there.
const WORKER_MAX: Duration = Duration::from_secs(30);

/// How long a task that was told to stop may take.
const GRACE: Duration = Duration::from_secs(5);

/// The size of the calls beside bulk.
const CALL_BYTES: usize = 64;

/// Starts the node. `arguments` are the secret, the name, the addresses of the nodes that are there, and how many there
/// will be. It says where it listens.
pub(crate) async fn control(arguments: &[&str]) -> Result<(), Failure> {
    let [secret, name, addresses, expected] = arguments else {
        return Err("a control node needs a secret, a name, addresses, and a number".into());
    };
    let secret: Secret = secret.parse()?;
    let told = addresses.split(',').filter(|address| !address.is_empty());
    let addresses = told.map(str::parse).collect::<Result<Vec<SocketAddr>, _>>()?;
    let heard = Heard::default();
    let control = Control::builder(CLUSTER, &secret)
        .id(name)
        .listen("127.0.0.1:0")
        .discover(StaticPeers::new(addresses))
        .expected_controls(expected.parse()?)
        .events::<Load>(heard.clone())
        .start()
        .await?;
    say(&control.local_addr().to_string())?;
    let worker = control.worker(WORKER.parse::<NodeId>()?);
    take_orders(Asker { worker, heard, content: Content::new(), control }).await
}

/// Who waits for the first event of a task, by the number that it tells.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<u64, oneshot::Sender<()>>>>);

impl Heard {
    fn wait(&self, number: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        receiver
    }
}

impl EventHandler<Load> for Heard {
    type State = ();

    async fn event(&self, _: &EventContext, (): &mut (), number: u64) {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(waits) = waits {
            // Whoever has given up does not want it.
            let _ = waits.send(());
        }
    }
}

struct Asker {
    worker: WorkerHandle,
    heard: Heard,
    content: Content,
    /// It stops when it is dropped.
    control: Control,
}

impl Asker {
    /// Waits until the worker answers.
    async fn is_there(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + WORKER_MAX;
        while let Err(error) = self.worker.request::<Load>(Bytes::new()).await {
            if Instant::now() >= deadline {
                return Err(error.into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn taker(&self) -> Result<TaskHandle<Load>, Failure> {
        self.is_there().await?;
        Ok(self.worker.start::<Load>(Work::Take).await?)
    }

    async fn bulk(&self, bytes: u64, pace: Option<Pace>) -> Result<Figures, Failure> {
        let task = self.taker().await?;
        let begin = Instant::now();
        let receipt = match pace {
            None => task.send(stream::iter(self.content.chunks(bytes).map(Ok::<_, Infallible>))).await?,
            Some(pace) => task.send(paced(self.content.chunks(bytes), pace)).await?,
        };
        let seconds = begin.elapsed().as_secs_f64();
        task.stop(GRACE).await?;
        if receipt.bytes != bytes {
            return Err(format!("{} of {bytes} bytes have arrived", receipt.bytes).into());
        }
        Ok(Figures { bytes: bytes as f64, seconds, ..Figures::default() })
    }

    /// Calls beside bulk. A session that is lost meanwhile is an error.
    async fn beside(&self, bytes_per_second: u64, duration: Duration) -> Result<Figures, Failure> {
        let bytes = bytes_per_second * u64::try_from(duration.as_millis())? / 1_000;
        self.is_there().await?;
        let mut events = self.control.subscribe();
        let caller = Requests(self.worker.clone());
        let sending = self.bulk(bytes, Some(Pace::new(bytes_per_second)));
        let (bulk, calls) = tokio::join!(sending, each_millisecond(caller, CALL_BYTES, duration));
        let bulk = bulk?;
        while let Some(Some(event)) = events.next().now_or_never() {
            if let ClusterEvent::Worker { status, .. } = event {
                return Err(format!("the worker became {status:?} meanwhile").into());
            }
        }
        Ok(Figures { bytes: bulk.bytes, seconds: bulk.seconds, ..calls })
    }

    async fn cycles(&self, concurrency: usize, duration: Duration) -> Result<Figures, Failure> {
        self.is_there().await?;
        let next = Arc::new(AtomicU64::new(0));
        let cycles = Cycles { worker: self.worker.clone(), heard: self.heard.clone(), next };
        Ok(closed_loop(vec![cycles; concurrency], 0, duration).await)
    }
}

/// Chunks at a pace.
fn paced(
    chunks: impl Iterator<Item = Bytes> + Send,
    pace: Pace,
) -> impl stream::Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold((chunks, pace), |(mut chunks, mut pace)| async move {
        let chunk = chunks.next()?;
        pace.wait(chunk.len()).await;
        Some((Ok(chunk), (chunks, pace)))
    })
}

impl Client for Asker {
    type Caller = Requests;

    async fn callers(&self, count: usize) -> Result<Vec<Requests>, Failure> {
        self.is_there().await?;
        Ok(vec![Requests(self.worker.clone()); count])
    }

    async fn more(&self, order: &Order) -> Result<Figures, Failure> {
        match order {
            Order::Bulk { bytes } => self.bulk(*bytes, None).await,
            Order::Beside { bytes_per_second, duration_ms } => {
                self.beside(*bytes_per_second, Duration::from_millis(*duration_ms)).await
            }
            Order::Cycles { concurrency, duration_ms } => {
                self.cycles(*concurrency, Duration::from_millis(*duration_ms)).await
            }
            Order::Sweep { workers, duration_ms } => {
                let names = (0..*workers).map(|number| format!("worker-{number}").parse::<NodeId>());
                let names: Vec<NodeId> = names.collect::<Result<_, _>>()?;
                let workers = names.into_iter().map(|name| self.control.worker(name)).collect();
                let sweep = Sweep { workers, next: Arc::default() };
                Ok(each_millisecond(sweep, CALL_BYTES, Duration::from_millis(*duration_ms)).await)
            }
            Order::PutFolder { from, to } => {
                self.is_there().await?;
                files::put_folder(&self.worker, from, to).await
            }
            Order::PutEach { from, to } => {
                self.is_there().await?;
                files::put_each(&self.worker, from, to).await
            }
            Order::Attach { .. } | Order::Rehome { .. } => Err("that is for workers".into()),
            Order::Calls { .. } => Err("whoever takes the orders makes the calls".into()),
        }
    }
}

/// Whoever asks the worker, through all of the framework: a typed request with a deadline, checked against its fence.
#[derive(Clone)]
struct Requests(WorkerHandle);

impl Caller for Requests {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        let answer = self.0.request::<Load>(payload.clone()).await?;
        if answer == payload { Ok(()) } else { Err("another answer than the request".into()) }
    }
}

/// Whoever asks one worker after the other: neighbours by number have different control nodes.
#[derive(Clone)]
struct Sweep {
    workers: Arc<[WorkerHandle]>,
    next: Arc<AtomicU64>,
}

impl Caller for Sweep {
    async fn call(&mut self, payload: Bytes) -> Result<(), Failure> {
        let turn = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed))?;
        Requests(self.workers[turn % self.workers.len()].clone()).call(payload).await
    }
}

/// Whoever starts a task, waits for its first event, and stops it.
#[derive(Clone)]
struct Cycles {
    worker: WorkerHandle,
    heard: Heard,
    next: Arc<AtomicU64>,
}

impl Caller for Cycles {
    async fn call(&mut self, _: Bytes) -> Result<(), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let told = self.heard.wait(number);
        let task = self.worker.start::<Load>(Work::Tell(number)).await?;
        told.await?;
        Ok(task.stop(GRACE).await?)
    }
}
