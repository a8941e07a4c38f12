//! A control node that is to go gives its workers away, and says what holds up those that are left.

use std::time::Duration;

use phalanx::{
    BlockReason, Control, DrainOptions, EventContext, EventHandler, JobClass, JobHandler, NodeId, Nothing,
    TaskContext, TaskId,
};
use tests::{Ask, Cluster, Probe, Said, What, Work, soon};
use tokio::sync::watch;

/// A class whose events wait in their handler until a gate is opened.
enum Gate {}

impl JobClass for Gate {
    const NAME: &'static str = "gate";
    const VERSION: u32 = 1;
    type Request = Nothing;
    type Reply = Nothing;
    type Task = u64;
    type Output = u64;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

/// The worker's half: it says one number.
struct Knock;

impl JobHandler<Gate> for Knock {
    async fn task(&self, cx: TaskContext<Gate>, number: u64) -> Result<u64, String> {
        cx.emit(number).await.map_err(|error| error.to_string())?;
        while cx.recv().await.is_some_and(|signal| !matches!(signal, phalanx::Signal::Stop { .. })) {}
        Ok(number)
    }
}

/// A control node's half: it says that it was asked, and lets nothing pass while the gate is shut.
#[derive(Clone)]
struct Keeper {
    on: &'static str,
    asked: watch::Sender<Vec<&'static str>>,
    shut: watch::Receiver<Option<&'static str>>,
}

impl EventHandler<Gate> for Keeper {
    type State = u64;

    async fn event(&self, _: &EventContext, count: &mut u64, _: u64) {
        *count += 1;
        self.asked.send_modify(|asked| asked.push(self.on));
        let _ = self.shut.clone().wait_for(|shut| *shut != Some(self.on)).await;
    }
}

/// Two control nodes and a worker, whose only task has an event that its owner's handler does not let go.
struct Gated {
    cluster: Cluster,
    leaver: Control,
    stayer: String,
    task: TaskId,
    asked: watch::Receiver<Vec<&'static str>>,
    shut: watch::Sender<Option<&'static str>>,
}

async fn gated(controls: [&'static str; 2], worker: &str) -> Gated {
    let mut cluster = Cluster::start(&[], &[]).await;
    let (asked_sender, asked) = watch::channel(Vec::new());
    let (shut, shut_receiver) = watch::channel(None);
    for on in controls {
        let keeper = Keeper { on, asked: asked_sender.clone(), shut: shut_receiver.clone() };
        let builder = cluster.control_builder(on).expected_controls(2).events::<Gate>(keeper);
        cluster.adopt_control(builder.start().await.unwrap());
    }
    cluster.control_nodes_formed().await;
    cluster.adopt_worker(cluster.worker_builder(worker).job::<Gate>(Knock).start().await.unwrap());
    cluster.formed().await;
    let [owner, stayer] = cluster.both_ways(worker);
    shut.send_replace(controls.into_iter().find(|name| *name == owner));
    let task = cluster.through(&stayer, worker).start::<Gate>(1).await.unwrap().id().clone();
    soon("the handler has the event", asked.clone().wait_for(|asked| !asked.is_empty())).await.unwrap();
    let leaver = cluster.take_control(&owner);
    Gated { cluster, leaver, stayer, task, asked, shut }
}

async fn hosted_by(cluster: &Cluster, control: &str) -> usize {
    cluster.control(control).workers().await.into_iter().filter(|info| info.hosted.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_names_the_handler_that_holds_it_up_and_ends_when_that_returns() {
    let Gated { cluster, leaver, task, asked, shut, .. } = gated(["gate-c1", "gate-c2"], "gate-w").await;
    let drain = leaver.drain(DrainOptions::default()).await;
    let mut progress = drain.watch();
    let held_up = progress.wait_for(|progress| {
        let is_named = |reason: &BlockReason| matches!(reason, BlockReason::Handler { .. });
        let mut blocked = progress.blocked.iter();
        progress.left == 1 && blocked.any(|blocked| is_named(&blocked.reason) && blocked.waited.as_secs() > 0)
    });
    let held_up = soon("the handler is named", held_up).await.unwrap().clone();
    let blocked = &held_up.blocked[0];
    assert_eq!(blocked.worker.as_str(), "gate-w");
    let BlockReason::Handler { task: named, class } = &blocked.reason else { panic!("{held_up:?}") };
    assert_eq!((named, &*class.name), (&task, "gate"));
    let total = held_up.total;
    assert_eq!((held_up.released, held_up.left), (0, 1), "everybody else moves all the same: {held_up:?}");
    shut.send_replace(None);
    let done = soon("everything is handed over", drain.finished()).await;
    assert_eq!((done.moved, done.left, done.released), (total, 0, 0), "{done:?}");
    assert_eq!(asked.borrow().len(), 1, "the event was handled once");
    soon("the leaver goes", leaver.shutdown()).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_deadline_is_released_and_said_to_be_so() {
    let Gated { cluster, leaver, stayer, task, asked, shut } = gated(["late-c1", "late-c2"], "late-w").await;
    let drain = leaver.drain(DrainOptions { deadline: Duration::from_secs(2) }).await;
    let done = soon("the time is up", drain.finished()).await;
    assert_eq!((done.released, done.left, done.moved), (1, 0, done.total - 1), "{done:?}");
    let why: Vec<_> = done.blocked.iter().map(|blocked| (blocked.worker.as_str(), &blocked.reason)).collect();
    let class = phalanx::ClassName { name: "gate".into(), version: 1 };
    assert_eq!(why, [("late-w", &BlockReason::Handler { task, class })]);
    // What the handler had in hand comes again at the next owner.
    let again = asked.clone();
    soon("the stayer has it", again.clone().wait_for(|asked| asked.len() == 2)).await.unwrap();
    assert_eq!(again.borrow()[1], stayer);
    shut.send_replace(None);
    soon("the leaver goes", leaver.shutdown()).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_hosts_nobody_and_can_be_asked_for_anything() {
    let workers = ["drain-w1", "drain-w2", "drain-w3", "drain-w4"];
    let cluster = Cluster::start(&["drain-c1", "drain-c2"], &workers).await;
    let leaver = cluster.ring_owner(workers[0]);
    let mine = hosted_by(&cluster, &leaver).await;
    let task = cluster.through(&leaver, workers[0]).start::<Probe>(Work::Tick(5)).await.unwrap();
    cluster.record.wait_events(task.id(), 10).await;
    let control = cluster.control(&leaver);
    let drain = control.drain(DrainOptions::default()).await;
    // A second one looks on.
    let second = control.drain(DrainOptions::default()).await;
    let done = soon("everything is handed over", drain.finished()).await;
    assert_eq!((done.total, done.moved), (mine, mine), "{done:?}");
    assert_eq!(done.blocked, []);
    assert_eq!(soon("the second one ends too", second.finished()).await, done);
    assert!(control.workers().await.iter().all(|info| info.hosted.is_none()));
    for worker in workers {
        let handle = control.worker(NodeId::new(worker).unwrap());
        assert_eq!(handle.request::<Probe>(Ask::Echo(1, "on".into())).await.unwrap().text, "on");
    }
    let seen = cluster.record.of(task.id()).len();
    for (entry, number) in cluster.record.wait_events(task.id(), seen + 10).await.iter().zip(1..) {
        assert_eq!((entry.sequence, &entry.what), (number, &What::Event(Said::Number(number))));
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_nobody_can_take_stay_and_are_not_waited_for() {
    let cluster = Cluster::start(&["lone-c1"], &["lone-w1"]).await;
    let control = cluster.control("lone-c1");
    let drain = control.drain(DrainOptions::default()).await;
    let done = soon("there is nobody to wait for", drain.finished()).await;
    assert_eq!((done.total, done.left, done.released), (2, 2, 0), "{done:?}");
    assert!(done.blocked.iter().all(|blocked| blocked.reason == BlockReason::NoReceiver), "{done:?}");
    let hosted = hosted_by(&cluster, "lone-c1").await;
    assert_eq!((hosted, cluster.worker("lone-w1").owner().as_ref()), (2, Some(control.id())));
    cluster.shutdown().await;
}
