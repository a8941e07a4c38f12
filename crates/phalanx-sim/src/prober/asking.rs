//! The callers: on every control node, for as long as it runs, all kinds of calls to all workers.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use phalanx::{CallError, CallOptions, Control, NodeId, TaskError, TaskHandle};
use phalanx_base::{Boot, Role};
use tokio::time::sleep;

use super::jobs::{Ask, Order, Probe, TRANSFER_BYTES_MAX, Tell, contents};
use crate::cluster::Cluster;
use crate::history::{End, Entry};
use crate::world::random::stream;
use crate::world::{Process, World};

/// How often it is looked whether a control node has started.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Asks on every control node, for as long as the simulation runs.
pub(crate) async fn keep_asking(cluster: Cluster) {
    let workers = cluster.world.machines.iter().filter(|(_, machine)| machine.role == Role::Worker);
    let workers: Arc<[NodeId]> =
        workers.map(|(name, _)| name.parse().expect("the name of a machine is the name of a node")).collect();
    let mut seen: BTreeSet<Boot> = BTreeSet::new();
    loop {
        for (process, control) in cluster.world.controls() {
            if seen.insert(process.boot.clone()) {
                let asker = Asker {
                    cluster: cluster.clone(),
                    process: process.clone(),
                    control,
                    workers: workers.clone(),
                };
                World::run_in(&process, Box::pin(asker.clone().ask_requests()));
                World::run_in(&process, Box::pin(asker.run_tasks()));
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}

#[derive(Clone)]
struct Asker {
    cluster: Cluster,
    process: Process,
    control: Control,
    workers: Arc<[NodeId]>,
}

impl Asker {
    fn random(&self, purpose: &str) -> fastrand::Rng {
        stream(self.cluster.world.seed, &format!("{purpose} {}", self.process.boot))
    }

    fn any_worker(&self, random: &mut fastrand::Rng) -> NodeId {
        self.workers[random.usize(..self.workers.len())].clone()
    }

    /// One call, from the question to what is written down of its end.
    async fn ask<T, E>(
        &self,
        (number, starts): (u64, bool),
        (worker, deadline): (&NodeId, Duration),
        call: impl Future<Output = Result<T, CallError<E>>> + Send,
    ) -> Result<T, CallError<E>> {
        let gate = &self.process.gate;
        let history = self.cluster.history();
        let at = self.process.boot.clone();
        let (worker, by) = (worker.clone(), self.cluster.elapsed() + deadline);
        history.record(&Entry::Called { number, at, worker, starts, deadline: by });
        let (before, slow) = (gate.hindrances(), gate.is_slow());
        let outcome = call.await;
        let end = match &outcome {
            Ok(_) | Err(CallError::Failed(_)) => End::Done,
            Err(CallError::Aborted(_)) => End::Aborted,
            Err(CallError::NotExecuted(_)) => End::NotExecuted,
            Err(CallError::Unknown(_)) => End::Unknown,
        };
        let hindered = slow || gate.is_slow() || gate.hindrances() != before;
        history.record(&Entry::Answered { number, end, hindered });
        outcome
    }

    async fn ask_requests(self) {
        let mut random = self.random("requests");
        loop {
            sleep(Duration::from_millis(random.u64(100..900))).await;
            let worker = self.any_worker(&mut random);
            let deadline = Duration::from_millis(random.u64(500..8_000));
            let after_ms = if random.u8(..5) == 0 { random.u64(..3_000) } else { random.u64(..10) };
            let options = CallOptions { deadline, ..CallOptions::default() };
            let asker = self.clone();
            let asking = async move {
                let (handle, number) = (asker.control.worker(&worker).with(options), asker.cluster.number());
                let question = handle.request::<Probe>(Ask { number, after_ms });
                if let Ok(reply) = asker.ask((number, false), (&worker, deadline), question).await {
                    assert_eq!(reply, number, "the answer belongs to another question");
                }
            };
            World::run_in(&self.process, Box::pin(asking));
        }
    }

    async fn run_tasks(self) {
        let mut random = self.random("tasks");
        loop {
            sleep(Duration::from_millis(random.u64(1_000..6_000))).await;
            let worker = self.any_worker(&mut random);
            let seeded = fastrand::Rng::with_seed(random.u64(..));
            let asker = self.clone();
            World::run_in(&self.process, Box::pin(async move { asker.run_task(worker, seeded).await }));
        }
    }

    async fn run_task(&self, worker: NodeId, mut random: fastrand::Rng) {
        let deadline = Duration::from_secs(10);
        let handle = self.control.worker(&worker).with(CallOptions { deadline, ..CallOptions::default() });
        let (events, pause_ms) = (random.u64(1..40), random.u64(20..800));
        let task_number = self.cluster.number();
        let start = handle.start::<Probe>(Tell { number: task_number, events, pause_ms });
        let Ok(task) = self.ask((task_number, true), (&worker, deadline), start).await else { return };
        for place in 1..=random.u64(..6) {
            sleep(Duration::from_millis(random.u64(..3_000))).await;
            let number = self.cluster.number();
            if let Ok(reply) =
                self.ask((number, false), (&worker, deadline), task.command(Order { number, place })).await
            {
                assert_eq!(reply, number, "the answer belongs to another command");
            }
            if random.u8(..4) == 0 {
                self.transfer(&task, random.u64(..TRANSFER_BYTES_MAX)).await;
            }
        }
        if random.u8(..6) == 0 {
            let _ = task.stop(Duration::from_secs(2)).await;
        }
        // Asked twice, as an end never changes.
        for _ in 0..2 {
            let how = match task.output().await {
                Err(TaskError::Lost | TaskError::Unknown(_)) => return,
                end => format!("{end:?}"),
            };
            self.cluster.history().record(&Entry::TaskEnded { task: task_number, how });
        }
    }

    async fn transfer(&self, task: &TaskHandle<Probe>, length: u64) {
        // Whether it arrives depends on the links; whoever has received it says whether it was whole.
        let _ = task.send_bytes(contents(self.cluster.number(), length)).await;
    }
}
