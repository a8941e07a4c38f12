//! Runs a worker: frames and the user's answers in, frames and the user's work out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_channel::{Receiver, Sender, TrySendError};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use phalanx_base::{Address, Boot, Fence, Generation, Lane, NodeId, NodeStatus, Spawn, Usage};
use tokio::sync::{mpsc, oneshot, watch};

use super::alarm::Alarm;
use super::kept::kept;
use super::operations::{Asked, OperationsHandler, operate};
use super::outflow::serve;
use super::streams::{StreamEvent, Streams};
use super::transfers::receive;
use super::{BURST_MAX, INBOX_MAX, now};
use crate::carrier::{Carrier, Stream};
use crate::class::JobClass;
use crate::config::Config;
use crate::context::{FromUser, Refusal, RequestContext, TaskLife, ToTask};
use crate::observe::{Observation, Observer};
use crate::operations::{Operation, OperationReply, Operations};
use crate::outcome::{Cap, Outcome, Reason, TaskEnd};
use crate::ownership::{Finder, FinderConfig, Target};
use crate::registry::{Jobs, TaskParts};
use crate::session::LinkId;
use crate::tasks::{COMMANDS_MAX, TaskStart};
use crate::transfer::{OutgoingTransfer, TRANSFERS_WAITING_MAX, Transfer};
use crate::wire::{CallId, Instance, TaskId, TransferId};
use crate::worker::{WorkerCore, WorkerEvent, WorkerIdentity};

/// How a worker that looks for its owner dials.
pub trait Dial: Send + Sync + 'static {
    /// Dials a target and hands the link over; says whether that was possible.
    fn dial(&self, target: Target) -> BoxFuture<'static, bool>;
}

/// What a worker runs with.
pub struct WorkerSettings {
    /// Who it is.
    pub identity: WorkerIdentity,
    /// Timing and caps.
    pub config: Config,
    /// Its job classes.
    pub jobs: Jobs,
    /// How it starts work.
    pub spawn: Arc<dyn Spawn>,
    /// Who is told what it decides.
    pub observer: Arc<dyn Observer>,
    /// How it looks for its owner, and a seed that spreads its tries; `None` for a control node, which is linked to all
    /// others anyway.
    pub finder: Option<(FinderConfig, u64, Arc<dyn Dial>)>,
}

/// How a worker is, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// Its state.
    pub status: NodeStatus,
    /// Who hosts its proxy.
    pub owner: Option<NodeId>,
    /// How many tasks run.
    pub tasks: usize,
    /// How many of these a worker leaves alone when it stops, since they outlive its process.
    pub outliving: usize,
}

pub(super) enum Input {
    Link(Arc<dyn Carrier>),
    LinkLost(LinkId),
    Session(LinkId, Lane, Stream),
    Transfer(WorkerTransfer),
    Discovered(Vec<Address>),
    Operation(Asked),
    Usage(Usage),
}

/// A transfer that a control node begins.
pub(super) struct WorkerTransfer {
    pub(super) link: LinkId,
    pub(super) fence: Fence,
    pub(super) generation: Generation,
    pub(super) task: TaskId,
    pub(super) transfer: TransferId,
    /// What is wanted from the task; `None` of a transfer into it.
    pub(super) wanted: Option<Bytes>,
    pub(super) stream: Stream,
}

/// A handle to a running worker: cheap to clone. The worker stops when the last one is dropped.
#[derive(Clone)]
pub struct WorkerService {
    inbox: mpsc::Sender<Input>,
    view: watch::Receiver<WorkerView>,
}

impl WorkerService {
    /// Starts a worker.
    #[must_use]
    pub fn start(settings: WorkerSettings) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let mut settings = settings;
        let operations = OperationsHandler { inbox: sender.downgrade() };
        settings.identity.classes.push(settings.jobs.register_builtin::<Operations, _>(operations));
        let first = WorkerView { status: NodeStatus::Launching, owner: None, tasks: 0, outliving: 0 };
        let (view_sender, view) = watch::channel(first);
        let spawn = settings.spawn.clone();
        spawn.spawn(Box::pin(Driver::new(settings, inbox, view_sender).run()));
        Self { inbox: sender, view }
    }

    /// Does what an operator asks for, as [`Operations`] over the network does; `None` when the worker has stopped.
    /// Dropping the future may leave it done or not.
    pub async fn operate(&self, operation: Operation) -> Option<OperationReply> {
        let (reply, answer) = oneshot::channel();
        self.tell(Input::Operation((operation, reply))).await;
        answer.await.ok()
    }

    /// How the worker is, as it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<WorkerView> {
        self.view.clone()
    }

    /// A link to a control node is up.
    pub async fn link_up(&self, carrier: Arc<dyn Carrier>) {
        self.tell(Input::Link(carrier)).await;
    }

    /// A link is lost.
    pub async fn link_lost(&self, link: LinkId) {
        self.tell(Input::LinkLost(link)).await;
    }

    /// Discovery has found these addresses.
    pub async fn discovered(&self, addresses: Vec<Address>) {
        self.tell(Input::Discovered(addresses)).await;
    }

    /// How full the worker is, for its owner to know.
    pub async fn set_usage(&self, usage: Usage) {
        self.tell(Input::Usage(usage)).await;
    }

    pub(super) async fn session(&self, link: LinkId, lane: Lane, stream: Stream) {
        self.tell(Input::Session(link, lane, stream)).await;
    }

    pub(super) async fn transfer(&self, transfer: WorkerTransfer) {
        self.tell(Input::Transfer(transfer)).await;
    }

    async fn tell(&self, input: Input) {
        // A worker that has stopped wants to know nothing.
        let _ = self.inbox.send(input).await;
    }
}

/// A running task, from the driver's side.
struct TaskSlot {
    signals: Sender<ToTask>,
    transfers: Sender<Transfer>,
    outgoing: Sender<OutgoingTransfer>,
    told_to_stop: Arc<AtomicBool>,
    abort: AbortHandle,
}

struct Driver {
    core: WorkerCore,
    boot: Boot,
    jobs: Jobs,
    spawn: Arc<dyn Spawn>,
    observer: Arc<dyn Observer>,
    streams: Streams,
    inbox: mpsc::Receiver<Input>,
    /// As a stream: one that is pinned waits without a new listener each time.
    from_user: Pin<Box<Receiver<FromUser>>>,
    answers: Sender<FromUser>,
    requests: BTreeMap<CallId, AbortHandle>,
    tasks: BTreeMap<TaskId, TaskSlot>,
    finder: Option<(Finder, Arc<dyn Dial>)>,
    /// Each says whom it was for, and whether it has led to a link.
    dials: FuturesUnordered<BoxFuture<'static, (Option<NodeId>, bool)>>,
    alarm: Alarm,
    view: watch::Sender<WorkerView>,
}

/// What woke the driver.
enum Woken {
    Stream(StreamEvent),
    User(FromUser),
    Input(Option<Input>),
    Dialled(Option<NodeId>, bool),
    Time,
}

impl Driver {
    fn new(settings: WorkerSettings, inbox: mpsc::Receiver<Input>, view: watch::Sender<WorkerView>) -> Self {
        let WorkerSettings { identity, config, jobs, spawn, observer, finder } = settings;
        let (answers, from_user) = async_channel::bounded(INBOX_MAX);
        Self {
            boot: identity.boot.clone(),
            core: WorkerCore::new(identity, config),
            jobs,
            spawn,
            observer,
            streams: Streams::new(None),
            inbox,
            from_user: Box::pin(from_user),
            answers,
            requests: BTreeMap::new(),
            tasks: BTreeMap::new(),
            finder: finder.map(|(config, seed, dial)| (Finder::new(config, seed, now()), dial)),
            dials: FuturesUnordered::new(),
            alarm: Alarm::default(),
            view,
        }
    }

    async fn run(mut self) {
        self.take_kept().await;
        // It has started, and says so.
        self.drain();
        while self.turn().await {}
        for (_, slot) in std::mem::take(&mut self.tasks) {
            slot.abort.abort();
        }
        for (_, abort) in std::mem::take(&mut self.requests) {
            abort.abort();
        }
    }

    /// Goes on with the tasks of earlier boots that have outlived them, before there is anybody to ask for them.
    async fn take_kept(&mut self) {
        for kept in kept(&self.jobs, self.spawn.as_ref()).await {
            let (task, class) = (kept.id, kept.class.name.clone());
            let start = TaskStart {
                class: kept.class,
                instance: kept.instance.clone(),
                on_disconnect: kept.on_disconnect,
                waits: false,
            };
            if self.core.handle_kept(now(), task.clone(), start) {
                tracing::info!(worker = %self.boot.node, %task, %class, "a task of an earlier boot goes on");
                self.run_task(task, kept.instance, &class, kept.body, true);
            } else {
                tracing::error!(worker = %self.boot.node, %task, %class, "a kept task was named twice, or is one too many");
            }
        }
    }

    /// Waits for something, then takes a burst from each source, so that none starves another. Says whether to go on.
    async fn turn(&mut self) -> bool {
        let finder_timeout = self.finder.as_ref().and_then(|(finder, _)| finder.poll_timeout());
        self.alarm.set(self.core.poll_timeout());
        self.alarm.set(finder_timeout);
        let woken = tokio::select! {
            biased;
            event = self.streams.next() => Woken::Stream(event),
            message = self.from_user.next() => match message {
                Some(message) => Woken::User(message),
                None => Woken::Input(None),
            },
            input = self.inbox.recv() => Woken::Input(input),
            Some((node, reached)) = self.dials.next() => Woken::Dialled(node, reached),
            () = self.alarm.wait() => Woken::Time,
        };
        match woken {
            Woken::Stream(event) => {
                self.handle_stream(event);
                for _ in 0..BURST_MAX {
                    let Some(event) = self.streams.ready() else { break };
                    self.handle_stream(event);
                }
            }
            Woken::User(message) => self.handle_user(message),
            Woken::Input(Some(input)) => self.handle_input(input),
            Woken::Input(None) => return false,
            Woken::Dialled(node, reached) => {
                if let Some((finder, _)) = &mut self.finder {
                    finder.handle_dialled(node.as_ref(), reached);
                }
            }
            Woken::Time => {}
        }
        for _ in 0..BURST_MAX {
            let Ok(message) = self.from_user.try_recv() else { break };
            self.handle_user(message);
        }
        for _ in 0..BURST_MAX {
            let Ok(input) = self.inbox.try_recv() else { break };
            self.handle_input(input);
        }
        self.handle_time();
        self.drain();
        true
    }

    fn handle_time(&mut self) {
        let now = now();
        if self.core.poll_timeout().is_some_and(|at| at <= now) {
            self.core.handle_timeout(now);
        }
        if let Some((finder, _)) = &mut self.finder {
            finder.handle_timeout(now);
        }
    }

    fn handle_stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Frame(link, lane, frame) => {
                if let Err(violation) = self.core.handle_frame(now(), link, lane, &frame) {
                    tracing::warn!(worker = %self.boot.node, %violation, "closing a link whose peer breaks the protocol");
                    self.close_link(link, "the control node broke the protocol");
                }
            }
            StreamEvent::Lost(link) => self.close_link(link, "a stream was lost"),
        }
    }

    fn handle_user(&mut self, message: FromUser) {
        match message {
            FromUser::Emit(task, body) => self.core.handle_emit(&task, body),
            FromUser::Log(task, lines) => {
                lines.iter().for_each(|line| self.core.handle_log(&task, line));
            }
            FromUser::Answer(call, outcome) => {
                self.requests.remove(&call);
                self.core.handle_answer(&call, outcome);
            }
            FromUser::Outlives(task, outlives) => self.core.handle_outlives(&task, outlives),
            FromUser::TransferEnd(link) => self.core.handle_transfer_ended(link),
            FromUser::TaskEnd(task, end) => {
                self.tasks.remove(&task);
                self.core.handle_task_end(now(), &task, end);
            }
        }
    }

    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Link(carrier) => {
                if let Some((finder, _)) = &mut self.finder {
                    finder.handle_linked(now(), carrier.peer().node.clone());
                }
                self.streams.add_link(carrier);
            }
            Input::LinkLost(link) => self.forget_link(link),
            Input::Session(link, lane, stream) => {
                if let Some(carrier) = self.streams.carrier(link) {
                    self.core.handle_session(now(), link, carrier.peer().clone());
                    self.streams.insert(link, lane, stream);
                }
            }
            Input::Transfer(transfer) => self.handle_transfer(transfer),
            Input::Operation((operation, reply)) => {
                // Whoever asked and went away has had it done all the same.
                let _ = reply.send(operate(&mut self.core, operation));
            }
            Input::Usage(usage) => self.core.handle_usage(usage),
            Input::Discovered(addresses) => {
                if let Some((finder, _)) = &mut self.finder {
                    finder.handle_discovered(now(), addresses);
                }
            }
        }
    }

    fn handle_transfer(&mut self, begun: WorkerTransfer) {
        let WorkerTransfer { link, fence, generation, task, transfer, wanted, stream } = begun;
        let checked = self.core.check_transfer(link, fence, generation, &task);
        let slot = checked.and_then(|()| self.tasks.get(&task).ok_or(Reason::NoSuchTask));
        let full = Reason::Busy(Cap::Inbox);
        let carrying: BoxFuture<'static, ()> = match wanted {
            None => {
                let taken = slot.and_then(|slot| {
                    let (pieces, transfer) = Transfer::new(transfer);
                    slot.transfers.try_send(transfer).map(|()| pieces).map_err(|_| full)
                });
                Box::pin(receive(stream, taken))
            }
            Some(note) => {
                let taken = slot.and_then(|slot| {
                    let (outflow, transfer) = OutgoingTransfer::new(transfer, note);
                    slot.outgoing.try_send(transfer).map(|()| outflow).map_err(|_| full)
                });
                Box::pin(serve(stream, taken))
            }
        };
        self.core.handle_transfer_begun(link);
        let answers = self.answers.clone();
        self.spawn.spawn(Box::pin(async move {
            carrying.await;
            // A driver that has stopped has no link to keep.
            let _ = answers.send(FromUser::TransferEnd(link)).await;
        }));
    }

    fn close_link(&mut self, link: LinkId, why: &str) {
        if let Some(carrier) = self.streams.carrier(link) {
            carrier.close(why);
        }
        self.forget_link(link);
    }

    fn forget_link(&mut self, link: LinkId) {
        if let Some(carrier) = self.streams.remove_link(link) {
            self.core.handle_link_lost(now(), link);
            if let Some((finder, _)) = &mut self.finder {
                finder.handle_unlinked(&carrier.peer().node);
            }
        }
    }

    /// Does what the cores have decided, until nothing is left.
    fn drain(&mut self) {
        loop {
            if let Some(transmit) = self.core.poll_transmit() {
                if !self.streams.push(transmit.link, transmit.lane, transmit.frame) {
                    self.close_link(transmit.link, "the control node does not read");
                }
            } else if let Some(event) = self.core.poll_event() {
                self.handle_event(event);
            } else if let Some((finder, dial)) = &mut self.finder
                && let Some(target) = finder.poll_dial(now())
            {
                let (node, dialling) = (target.node.clone(), dial.dial(target));
                self.dials.push(Box::pin(async move { (node, dialling.await) }));
            } else if let Some((finder, _)) = &mut self.finder
                && let Some(owner) = finder.poll_out_of_reach()
            {
                self.core.handle_out_of_reach(&owner);
            } else {
                break;
            }
        }
        let view = WorkerView {
            status: self.core.status(),
            owner: self.core.owner().cloned(),
            tasks: self.core.running_tasks(),
            outliving: self.core.outliving_tasks(),
        };
        self.view.send_if_modified(|seen| {
            let changed = *seen != view;
            *seen = view;
            changed
        });
    }

    fn handle_event(&mut self, event: WorkerEvent) {
        self.observe(&event);
        match event {
            WorkerEvent::RunRequest { call, deadline, class, body, .. } => {
                self.run_request(call, deadline, &class, body)
            }
            WorkerEvent::RunTask { task, class, body, instance, .. } => {
                self.run_task(task, instance, &class, body, false);
            }
            WorkerEvent::Command { task, call, body, .. } => self.signal(&task, ToTask::Command(call, body)),
            WorkerEvent::CancelRequest(call) => {
                if let Some(abort) = self.requests.remove(&call) {
                    abort.abort();
                }
            }
            WorkerEvent::StopTask(task, at) => {
                if let Some(slot) = self.tasks.get(&task) {
                    slot.told_to_stop.store(true, Ordering::Relaxed);
                }
                self.signal(&task, ToTask::Stop(at));
            }
            WorkerEvent::AbortTask(task) => {
                if let Some(slot) = self.tasks.remove(&task) {
                    slot.abort.abort();
                }
            }
            WorkerEvent::Status(status) => {
                let tasks: Vec<TaskId> = self.tasks.keys().cloned().collect();
                for task in tasks {
                    self.signal(&task, ToTask::Status(status));
                }
            }
            WorkerEvent::Acknowledged(..) | WorkerEvent::TaskAccepted { .. } => {}
            WorkerEvent::CloseLink(link, why) => self.close_link(link, why),
            WorkerEvent::Owned { .. }
            | WorkerEvent::Standbys(_)
            | WorkerEvent::Orphaned
            | WorkerEvent::Redirected(_) => self.tell_finder(event),
        }
    }

    fn observe(&self, event: &WorkerEvent) {
        let worker = &self.boot;
        self.observer.observe(match event {
            WorkerEvent::Owned { owner: control, fence, given, .. } => {
                Observation::Granted { worker, control, fence: *fence, given: *given }
            }
            WorkerEvent::Orphaned => Observation::Orphaned { worker },
            WorkerEvent::RunRequest { call, under, .. }
            | WorkerEvent::RunTask { task: TaskId(call), under: Some(under), .. }
            | WorkerEvent::TaskAccepted { task: TaskId(call), under }
            | WorkerEvent::Command { call, under, .. } => {
                let (generation, fence) = *under;
                Observation::Begun { worker, call, generation, fence }
            }
            WorkerEvent::Acknowledged(task, through) => {
                Observation::Acknowledged { worker, task, through: *through }
            }
            _ => return,
        });
    }

    fn tell_finder(&mut self, event: WorkerEvent) {
        let Some((finder, _)) = &mut self.finder else { return };
        match event {
            WorkerEvent::Owned { owner, standbys, .. } => {
                tracing::info!(worker = %self.boot.node, owner = %owner.node, "attached");
                finder.handle_owned(standbys);
            }
            WorkerEvent::Standbys(standbys) => finder.handle_standbys(standbys),
            WorkerEvent::Orphaned => {
                tracing::info!(worker = %self.boot.node, "looking for an owner");
                finder.handle_orphaned(now());
            }
            WorkerEvent::Redirected(owner) => finder.handle_redirect(now(), owner),
            _ => {}
        }
    }

    /// A task whose queue is full misses a change of state, and sees the next one; whoever sent it a command is told.
    fn signal(&mut self, task: &TaskId, signal: ToTask) {
        let Some(slot) = self.tasks.get(task) else { return };
        if let Err(
            TrySendError::Full(ToTask::Command(call, _)) | TrySendError::Closed(ToTask::Command(call, _)),
        ) = slot.signals.try_send(signal)
        {
            self.core.handle_answer(&call, Outcome::Aborted(Reason::Busy(Cap::Commands)));
        }
    }

    fn run_request(&mut self, call: CallId, deadline: Instant, class: &str, body: Bytes) {
        let Some(job) = self.jobs.class(class) else { return };
        let cx = RequestContext {
            call: call.clone(),
            worker: self.boot.node.clone(),
            deadline,
            refusal: Refusal::default(),
            spawn: self.spawn.clone(),
        };
        let (handler, abort) = abortable(job.request(cx, body));
        self.requests.insert(call.clone(), abort);
        let answers = self.answers.clone();
        let work = Box::pin(async move {
            if let Ok(outcome) = handler.await {
                let _ = answers.send(FromUser::Answer(call, outcome)).await;
            }
        });
        // What every worker can be asked is no user's code, and waits for none.
        match class {
            Operations::NAME => self.spawn.spawn(work),
            _ => self.spawn.spawn_user(work),
        }
    }

    fn run_task(&mut self, task: TaskId, instance: Option<Instance>, class: &str, body: Bytes, kept: bool) {
        let Some(job) = self.jobs.class(class) else { return };
        let told_to_stop = Arc::new(AtomicBool::new(false));
        let on_disconnect = self.core.on_disconnect(&task).unwrap_or_default();
        // Room for every command that may wait, a stop, and a few changes of state.
        let (signals, signals_receiver) = async_channel::bounded(COMMANDS_MAX + 8);
        let (transfers, transfers_receiver) = async_channel::bounded(TRANSFERS_WAITING_MAX);
        let (outgoing, outgoing_receiver) = async_channel::bounded(TRANSFERS_WAITING_MAX);
        let parts = TaskParts {
            task: task.clone(),
            instance,
            worker: self.boot.node.clone(),
            signals: signals_receiver,
            transfers: transfers_receiver,
            outgoing: outgoing_receiver,
            answers: self.answers.clone(),
            spawn: self.spawn.clone(),
            life: TaskLife { kept, on_disconnect, told_to_stop: told_to_stop.clone() },
        };
        let (handler, abort) = abortable(async move { job.task(parts, body).await });
        self.tasks.insert(task.clone(), TaskSlot { signals, transfers, outgoing, told_to_stop, abort });
        let answers = self.answers.clone();
        self.spawn.spawn_user(Box::pin(async move {
            let end = handler.await.unwrap_or(TaskEnd::Stopped);
            let _ = answers.send(FromUser::TaskEnd(task, end)).await;
        }));
    }
}
