//! A daemon, a control node, and a worker that runs containers; and what the control node has heard of them.

use phalanx::{EventContext, EventHandler, NodeId, SystemEntropy, TaskId, WorkerHandle};
use phalanx_drivers::docker::{
    Container, Containers, Docker, Finished, Policy, Run, Said, Stream, load_bytes, run,
};
use tests::{CLUSTER_NAME, Cluster, soon};
use tokio::sync::watch;

use crate::archive::{IMAGE, archive, image};
use crate::daemon::Daemon;

/// The worker.
pub(crate) const WORKER: &str = "containers-w";

/// What was heard: an event of a task.
type Heard = (TaskId, u64, Said);

/// Writes down what tasks say.
#[derive(Clone, Default)]
pub(crate) struct Listener(watch::Sender<Vec<Heard>>);

impl EventHandler<Docker> for Listener {
    type State = ();

    async fn event(&self, cx: &EventContext, (): &mut (), said: Said) {
        self.0.send_modify(|all| all.push((cx.task.clone(), cx.sequence, said)));
    }
}

impl Listener {
    /// All that a task has said, in order and without repeats.
    pub(crate) fn said(&self, task: &TaskId) -> Vec<Said> {
        let mut last = 0;
        let mut said = Vec::new();
        for (of, sequence, event) in self.0.borrow().iter() {
            if of == task && *sequence > last {
                last = *sequence;
                said.push(event.clone());
            }
        }
        said
    }

    /// Everything that was heard of any task.
    pub(crate) fn all(&self) -> Vec<Said> {
        self.0.borrow().iter().map(|(_, _, said)| said.clone()).collect()
    }

    /// Waits until what a task has said is as it should be.
    pub(crate) async fn wait(&self, task: &TaskId, what: &str, holds: impl Fn(&[Said]) -> bool) -> Vec<Said> {
        let mut changes = self.0.subscribe();
        soon(what, async {
            loop {
                changes.borrow_and_update();
                let said = self.said(task);
                if holds(&said) {
                    return said;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    /// Waits until a container has written this to a stream, from its start.
    pub(crate) async fn wait_text(&self, container: &Container, stream: Stream, expected: &str) {
        let what = format!("{expected:?} on {stream:?}");
        self.wait(container.task().id(), &what, |said| text(said, stream) == expected).await;
    }
}

/// All that was written to a stream.
pub(crate) fn text(said: &[Said], of: Stream) -> String {
    let mut bytes = Vec::new();
    for said in said {
        match said {
            Said::Output(chunk) if chunk.stream == of => bytes.extend_from_slice(&chunk.bytes),
            _ => {}
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A stage.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) listener: Listener,
    pub(crate) daemon: Daemon,
}

impl Stage {
    /// Starts one whose worker allows the image and archives of it.
    pub(crate) async fn start() -> Self {
        Self::start_with(|policy| policy).await
    }

    /// The same with more in the policy. The image is there.
    pub(crate) async fn start_with(more: impl FnOnce(Policy) -> Policy) -> Self {
        let mut stage = Self::without_worker().await;
        let policy = more(stage.policy());
        let name = NodeId::new(WORKER).unwrap();
        let opened = Containers::open(policy, CLUSTER_NAME, &name, &SystemEntropy::new()).await;
        let builder = stage.cluster.worker_builder(WORKER).job::<Docker>(opened.unwrap());
        stage.cluster.adopt_worker(builder.start().await.unwrap());
        stage.cluster.formed().await;
        stage.load_image().await;
        stage
    }

    /// A daemon and a control node.
    pub(crate) async fn without_worker() -> Self {
        let daemon = Daemon::start().await;
        let mut cluster = Cluster::start(&[], &[]).await;
        let listener = Listener::default();
        let control = cluster.control_builder("containers-c").events::<Docker>(listener.clone());
        cluster.adopt_control(control.start().await.unwrap());
        cluster.control_nodes_formed().await;
        Self { cluster, listener, daemon }
    }

    /// Allows the image, and archives of it.
    pub(crate) fn policy(&self) -> Policy {
        Policy::new(self.daemon.socket()).allow_image("busybox").allow_archives(64 << 20)
    }

    /// The worker.
    pub(crate) fn worker(&self) -> WorkerHandle {
        self.cluster.controls().next().unwrap().worker(NodeId::new(WORKER).unwrap())
    }

    /// Sends the image.
    pub(crate) async fn load_image(&self) {
        let archive = archive(&image("first"), &[IMAGE]);
        let loaded = soon("the image is loaded", load_bytes(&self.worker(), archive)).await.unwrap();
        assert_eq!(loaded, [format!("docker.io/library/{IMAGE}")]);
    }

    /// Starts a container.
    pub(crate) async fn run(&self, container: Run) -> Container {
        soon("a container starts", run(&self.worker(), container)).await.unwrap()
    }

    /// Starts a shell with this script.
    pub(crate) async fn shell(&self, script: &str) -> Container {
        self.run(shell(script)).await
    }

    /// Waits until it has written `ready`.
    pub(crate) async fn ready(&self, container: &Container) {
        self.listener.wait_text(container, Stream::Stdout, "ready\n").await;
    }

    /// Runs a container to its end.
    pub(crate) async fn finish(&self, container: Run) -> Finished {
        let container = self.run(container).await;
        soon("the container ends", container.finished()).await.unwrap()
    }

    /// Stops all, and looks whether something is left.
    pub(crate) async fn end(self) {
        assert_eq!(self.daemon.containers(), Vec::<String>::new());
        self.cluster.shutdown().await;
    }
}

/// A shell with this script.
pub(crate) fn shell(script: &str) -> Run {
    Run::new(IMAGE).command(["sh", "-c", script])
}

/// A script that handles signals, and says when it does.
pub(crate) const PATIENT: &str =
    "trap 'echo caught; exit 5' TERM USR1; echo ready; while :; do sleep 0.05; done";

/// A script that takes no order to stop.
pub(crate) const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
