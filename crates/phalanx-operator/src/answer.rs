//! What a node answers to each question: here, and nowhere else, the protocol meets the library.

use std::time::Duration;

use futures_util::future::join_all;
use phalanx::{
    Address, CallOptions, ClusterEvents, Control, Forgotten, JobChangeError, Labels, Liveness, NodeId,
    OperatorListener, RemoveFailed, Worker,
};
use phalanx_membership::RemoveError;

use crate::discovery;
use crate::tell::{class, liveness, member_state};
use crate::wire::REPLY_BYTES_MAX;
use crate::{
    ControlStatus, Failure, FailureKind, Formation, JobLine, Joined, Member, Node, NodeDetails, Part, Reply,
    Request, Status, Task, WorkerStatus,
};

/// The most bytes of a page of a list, but for the worker that goes over it: half of what a frame holds.
const PAGE_BYTES_MAX: usize = REPLY_BYTES_MAX / 2;

/// How many addresses are dialled for one question.
const ADDRESSES_MAX: usize = 16;

/// How many tasks of a node are told: a screen or some, not a list.
const TASKS_MAX: usize = 256;

/// How long a worker may take to answer what it runs.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

/// A node that operators may ask. Cheap to clone; the node runs as long as one of the clones is there.
#[derive(Clone)]
pub enum Operated {
    /// A control node, which answers everything.
    Control(Control),
    /// A worker, which knows itself.
    Worker {
        /// The worker.
        worker: Worker,
        /// The name of its cluster.
        cluster: String,
    },
}

impl From<Control> for Operated {
    fn from(control: Control) -> Self {
        Self::Control(control)
    }
}

impl From<&Control> for Operated {
    fn from(control: &Control) -> Self {
        Self::Control(control.clone())
    }
}

/// What becomes of a question.
pub(crate) enum Answer {
    /// These are the answer.
    Replies(Vec<Reply>),
    /// These are told, one by one.
    Events {
        /// The events.
        events: ClusterEvents,
        /// Whether there is nothing that is remembered among them.
        from_now: bool,
    },
    /// The node is to leave.
    Leave,
    /// What follows are frames of a gateway.
    Calls(Box<Control>),
}

impl Operated {
    /// The operators who come over the network.
    pub(crate) fn operators(&self) -> Option<OperatorListener> {
        match self {
            Self::Control(control) => Some(control.operators()),
            Self::Worker { .. } => None,
        }
    }

    pub(crate) async fn answer(&self, request: Request) -> Answer {
        let control = match (self, request) {
            (_, Request::Leave) => return Answer::Leave,
            (_, Request::Status) => {
                return Answer::Replies(vec![Reply::Status(Box::new(self.status().await))]);
            }
            (_, Request::Events { since }) => return self.events(since),
            (Self::Control(control), Request::Calls) => return Answer::Calls(Box::new(control.clone())),
            (Self::Control(control), request) => return of_control(control, request).await,
            (Self::Worker { worker, .. }, _) => worker,
        };
        let words = format!("{} is a worker: ask a control node", control.id());
        Answer::Replies(vec![failed(FailureKind::ControlOnly, words)])
    }

    fn events(&self, since: Option<u64>) -> Answer {
        let events = match (self, since) {
            (Self::Control(control), Some(number)) => control.subscribe_since(number),
            (Self::Control(control), None) => control.subscribe(),
            (Self::Worker { worker, .. }, Some(number)) => worker.subscribe_since(number),
            (Self::Worker { worker, .. }, None) => worker.subscribe(),
        };
        Answer::Events { events, from_now: since.is_none() }
    }

    /// How the node is, and how it sees its cluster.
    pub async fn status(&self) -> Status {
        let readiness = self.readiness();
        let (cluster, node, listen, part) = match self {
            Self::Control(control) => (
                control.cluster_name(),
                control.boot(),
                control.local_addr(),
                Part::Control(control_status(control).await),
            ),
            Self::Worker { worker, cluster } => (
                cluster.as_str(),
                worker.boot(),
                worker.local_addr(),
                Part::Worker(WorkerStatus { status: worker.status(), owner: worker.owner() }),
            ),
        };
        Status {
            cluster: cluster.to_owned(),
            node: node.clone(),
            listen,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: readiness.ready,
            explanation: readiness.explanation,
            part,
        }
    }
}

async fn of_control(control: &Control, request: Request) -> Answer {
    let reply = match request {
        Request::Nodes => return Answer::Replies(nodes(control).await),
        Request::Node(node) => describe(control, node).await,
        Request::Join(addresses) => join(control, addresses).await,
        Request::Remove(node) => match control.remove(&node).await {
            Ok(()) => Reply::Done,
            Err(error) => failed(kind_of(&error), error.to_string()),
        },
        Request::Forget(node) => forget(control, node).await,
        Request::Publish { name, payload } => match control.publish(&name, payload) {
            Ok(()) => Reply::Done,
            Err(error) => failed(FailureKind::Refused, error.to_string()),
        },
        Request::Jobs => return Answer::Replies(jobs(control).await),
        Request::Job(name) => match control.jobs().job(&name).await {
            Some(job) => Reply::Job(Box::new(job.into())),
            None => of_change(&JobChangeError::NotFound(name)),
        },
        Request::ApplyJob(spec) => match control.jobs().apply(*spec).await {
            Ok(spec) => Reply::Applied(Box::new(spec)),
            Err(error) => of_change(&error),
        },
        Request::RemoveJob(name) => match control.jobs().remove(&name).await {
            Ok(()) => Reply::Done,
            Err(error) => of_change(&error),
        },
        Request::SetLabels { node, labels } => set_labels(control, &node, labels).await,
        // Answered before, for every node.
        Request::Status | Request::Events { .. } | Request::Leave | Request::Calls => {
            failed(FailureKind::NotUnderstood, "this question has another answer")
        }
    };
    Answer::Replies(vec![reply])
}

fn failed(kind: FailureKind, words: impl Into<String>) -> Reply {
    Reply::Failed(Failure::new(kind, words))
}

fn kind_of(error: &RemoveFailed) -> FailureKind {
    match error {
        RemoveFailed::Refused(RemoveError::Unknown { .. }) => FailureKind::NotFound,
        _ => FailureKind::Refused,
    }
}

fn of_change(error: &JobChangeError) -> Reply {
    let kind = match error {
        JobChangeError::NotFound(_) => FailureKind::NotFound,
        _ => FailureKind::Refused,
    };
    failed(kind, error.to_string())
}

async fn jobs(control: &Control) -> Vec<Reply> {
    let (mut pages, mut page, mut bytes) = (Vec::new(), Vec::new(), 0);
    for job in control.jobs().list().await.iter().map(JobLine::from) {
        bytes += postcard::to_stdvec(&job).map_or(0, |encoded| encoded.len());
        page.push(job);
        if bytes >= PAGE_BYTES_MAX {
            bytes = 0;
            pages.push(Reply::Jobs { jobs: std::mem::take(&mut page), more: true });
        }
    }
    pages.push(Reply::Jobs { jobs: page, more: false });
    pages
}

async fn forget(control: &Control, node: NodeId) -> Reply {
    match control.forget(&node).await {
        Forgotten::Dropped => Reply::Done,
        Forgotten::Unknown => {
            let words = format!(
                "{} keeps nothing for a worker {node}; the other control nodes were told",
                control.id()
            );
            failed(FailureKind::NotFound, words)
        }
        Forgotten::Connected => {
            failed(FailureKind::Refused, format!("{node} is connected: stop it before it is forgotten"))
        }
    }
}

async fn set_labels(control: &Control, node: &NodeId, labels: Option<Labels>) -> Reply {
    let changed = match labels {
        Some(labels) => control.set_labels(node, labels).await,
        None => control.clear_labels(node).await,
    };
    match changed {
        Ok(()) => Reply::Done,
        Err(error) => failed(FailureKind::Refused, error.to_string()),
    }
}

async fn nodes(control: &Control) -> Vec<Reply> {
    let phalanx::Nodes { nodes, silent } = control.nodes().await;
    let (mut pages, mut page, mut bytes) = (Vec::new(), Vec::new(), 0);
    for node in nodes.into_iter().map(node) {
        bytes += postcard::to_stdvec(&node).map_or(0, |encoded| encoded.len());
        page.push(node);
        if bytes >= PAGE_BYTES_MAX {
            bytes = 0;
            pages.push(Reply::Nodes { nodes: std::mem::take(&mut page), silent: Vec::new(), more: true });
        }
    }
    pages.push(Reply::Nodes { nodes: page, silent, more: false });
    pages
}

fn node(summary: phalanx::NodeSummary) -> Node {
    let phalanx::NodeSummary { node, generation, owner, fence, status, tasks, labels, classes, usage } =
        summary;
    let classes = classes.iter().map(class).collect();
    Node { node, generation, owner, fence, status, tasks, labels, classes, usage }
}

async fn describe(control: &Control, wanted: NodeId) -> Reply {
    let listed = control.nodes().await.nodes;
    let worker = listed.into_iter().find(|listed| listed.node == wanted).map(node);
    let member = members(control).into_iter().find(|member| member.node.node == wanted);
    let known = control.workers().await.into_iter().find(|known| known.worker == wanted);
    let lost = known.filter(|_| worker.is_none()).map(|known| known.status);
    if worker.is_none() && member.is_none() && lost.is_none() {
        let words = format!("nobody knows a node {wanted}: `phalanx node ls` lists those that are there");
        return failed(FailureKind::NotFound, words);
    }
    let mut details =
        NodeDetails { node: wanted, worker, member, lost, tasks: Vec::new(), error: None, version: None };
    if details.worker.is_some() {
        ask_worker(control, &mut details).await;
    }
    Reply::Node(Box::new(details))
}

/// Asks the worker itself.
async fn ask_worker(control: &Control, details: &mut NodeDetails) {
    let options = CallOptions { deadline: WORKER_TIMEOUT, ..CallOptions::default() };
    let worker = control.worker(&details.node).with(options);
    match tokio::join!(worker.info(), worker.tasks()) {
        (Ok(info), Ok(tasks)) => {
            details.version = Some(info.version);
            let tasks = tasks.into_iter().take(TASKS_MAX);
            details.tasks =
                tasks.map(|task| Task { task: task.task.to_string(), class: class(&task.class) }).collect();
        }
        (Err(error), _) | (_, Err(error)) => details.error = Some(error.to_string()),
    }
}

async fn join(control: &Control, addresses: Vec<Address>) -> Reply {
    if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
        let words = format!("{} addresses: give 1 to {ADDRESSES_MAX}", addresses.len());
        return failed(FailureKind::Refused, words);
    }
    let joined = addresses.into_iter().map(|address| async move {
        let outcome = control.connect(&address.to_string()).await.map_err(|error| error.to_string());
        Joined { address, outcome }
    });
    Reply::Joined(join_all(joined).await)
}

async fn control_status(control: &Control) -> ControlStatus {
    let hosted = control.workers().await.iter().filter(|worker| worker.hosted.is_some()).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let formation = match *control.formation().borrow() {
        phalanx::Formation::Forming { seen, expected, .. } => {
            Formation::Forming { seen: count(seen), expected: count(expected) }
        }
        phalanx::Formation::Formed => Formation::Formed,
        phalanx::Formation::GaveUp { seen, expected } => {
            Formation::GaveUp { seen: count(seen), expected: count(expected) }
        }
    };
    let (discovery, sockets) = discovery::status(control);
    ControlStatus {
        cluster_id: control.cluster_id().to_string(),
        formation,
        majority: control.cluster().borrow().majority,
        members: members(control),
        hosted: count(hosted),
        discovery,
        sockets,
    }
}

/// The control nodes that a control node knows, in the order of their names.
fn members(control: &Control) -> Vec<Member> {
    let view = control.cluster().borrow().clone();
    let member = |member: &phalanx::MemberView| {
        let entry = view.roster.entries().iter().find(|entry| entry.node == member.boot.node);
        let addresses = match entry {
            Some(entry) => entry.addresses.iter().cloned().collect(),
            None => member.address.iter().cloned().collect(),
        };
        Member {
            node: member.boot.clone(),
            liveness: liveness(member.liveness),
            state: entry.map(|entry| member_state(entry.state)),
            addresses,
            weight: entry.map_or(1, |entry| entry.weight),
            zone: entry.map(|entry| entry.zone.clone()).unwrap_or_default(),
        }
    };
    view.members.iter().map(member).collect()
}

/// Whether a member is one that a majority is counted of.
pub(crate) fn is_counted(liveness: Liveness) -> bool {
    liveness != Liveness::Left
}
