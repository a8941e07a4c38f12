//! From pending to running: a worker is chosen, that is written down, and only then it is told to start.

use phalanx_base::NodeId;

use crate::action::Action;
use crate::event::Event;
use crate::instance::{Change, Instance};
use crate::job::{Fate, Job};
use crate::name::InstanceName;
use crate::placing::Crowd;
use crate::policy::LostPolicy;
use crate::reconcile::{STARTS_IN_FLIGHT_MAX, Turn};
use crate::record::Place;
use crate::state::InstanceState;

/// How often new words are found for the same waiting.
const EXPLAIN_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

/// Why instances wait that have nowhere to go.
#[derive(Default)]
struct Waiting {
    instances: usize,
    reason: Option<(String, bool)>,
}

impl Waiting {
    fn count(&mut self, reason: impl FnOnce() -> (String, bool)) {
        self.instances += 1;
        self.reason.get_or_insert_with(reason);
    }
}

/// Chooses workers for those that may start.
pub(crate) fn place(job: &mut Job, turn: &mut Turn<'_>) {
    let pending: Vec<InstanceName> = job
        .instances
        .iter()
        .filter(|(name, instance)| {
            instance.state() == InstanceState::Pending && job.fate(name, turn.nodes) == Fate::Run
        })
        .map(|(name, _)| name.clone())
        .collect();
    let mut waiting = Waiting::default();
    let starting = job.instances.values().filter(|instance| instance.state() == InstanceState::Starting);
    let mut in_flight = starting.count();
    let mut crowd = if pending.is_empty() { Crowd::new() } else { crowd(job) };
    let mut is_hopeless = false;
    for name in pending {
        let Some(instance) = job.instances.get(&name) else { continue };
        if let Some(until) = instance.wait_until.filter(|until| *until > turn.now) {
            turn.wake(until);
            continue;
        }
        if instance.record.replaces_lost && !turn.may_replace {
            waiting.count(|| ("many workers are lost at one time: nothing is replaced".to_owned(), true));
            continue;
        }
        if is_hopeless || in_flight >= STARTS_IN_FLIGHT_MAX {
            waiting.instances += usize::from(is_hopeless);
            continue;
        }
        job.draws += 1;
        match choose(job, &name, instance, turn, &crowd) {
            Ok(node) => {
                in_flight += 1;
                *crowd.entry(node.clone()).or_default() += 1;
                begin(job, &name, node, turn);
            }
            Err(reason) => {
                // Instances with an index all need the same.
                is_hopeless = matches!(name, InstanceName::Index(_));
                waiting.count(|| reason);
            }
        }
    }
    explain(job, waiting, turn);
}

/// The worker for an instance, or why there is none and whether that may pass.
fn choose(
    job: &Job,
    name: &InstanceName,
    instance: &Instance,
    turn: &Turn<'_>,
    crowd: &Crowd,
) -> Result<NodeId, (String, bool)> {
    let chosen = match name {
        InstanceName::Index(_) => {
            let seed = turn.seed.wrapping_add(job.draws);
            job.placing.place(turn.nodes, crowd, instance.avoided.as_ref(), seed)
        }
        InstanceName::Node(node) => match turn.nodes.node(node) {
            Some(found) => job.placing.check(found).map(|()| node.clone()),
            None => return Err((format!("worker {node} is not known"), true)),
        },
    };
    chosen.map_err(|never| (crate::text::reason(never.to_string()), never.may_pass()))
}

fn crowd(job: &Job) -> Crowd {
    let mut crowd = Crowd::new();
    for node in job.instances.values().filter(|one| one.state().is_live()).filter_map(Instance::node) {
        *crowd.entry(node.clone()).or_default() += 1;
    }
    crowd
}

fn begin(job: &mut Job, name: &InstanceName, node: NodeId, turn: &mut Turn<'_>) {
    let Some(generation) = turn.nodes.node(&node).map(|node| node.report.generation) else { return };
    let Some(instance) = job.instances.get_mut(name) else { return };
    turn.nodes.count_sent(&node);
    let before = instance.record.task_version;
    if job.rollout.is_some() && before > 0 && before < job.spec.task_version {
        instance.change = Some(Change::Update);
    }
    instance.record.place = Some(Place { node, generation, task: None });
    instance.record.task_version = job.spec.task_version;
    (instance.is_start_sent, instance.wait_until) = (false, None);
    instance.go(InstanceState::Starting, "a worker was chosen", &mut turn.moment());
}

/// Says why instances wait, when that is news.
fn explain(job: &mut Job, waiting: Waiting, turn: &mut Turn<'_>) {
    let Some((reason, may_pass)) = waiting.reason else {
        job.explained = None;
        return;
    };
    if let Some((instances, said, at)) = &job.explained {
        let is_said = *instances == waiting.instances && *said == reason;
        if is_said {
            return;
        }
        if turn.now < *at + EXPLAIN_PAUSE {
            return turn.wake(*at + EXPLAIN_PAUSE);
        }
    }
    job.explained = Some((waiting.instances, reason.clone(), turn.now));
    let name = job.spec.name.clone();
    turn.events.push(Event::Waiting { job: name, instances: waiting.instances, reason, may_pass });
}

/// Sends the starts whose record is durable.
pub(crate) fn send(job: &mut Job, turn: &mut Turn<'_>) {
    let stop_after = match job.spec.on_lost {
        LostPolicy::StopAfter(after) => Some(after),
        LostPolicy::Keep | LostPolicy::Replace { .. } => None,
    };
    for instance in job.instances.values_mut() {
        let record = &instance.record;
        let is_ready = record.state == InstanceState::Starting
            && !instance.is_start_sent
            && instance.durable >= record.revision;
        let Some(place) = record.place.clone().filter(|_| is_ready) else { continue };
        let obstacle = if record.replaces_lost && !turn.may_replace {
            Some("many workers are lost at one time: nothing is replaced")
        } else {
            (record.task_version != job.spec.task_version).then_some("another version is wanted by now")
        };
        if let Some(reason) = obstacle {
            instance.end_as_asked(InstanceState::Killed, reason, &mut turn.moment());
            turn.is_unfinished = true;
            continue;
        }
        let tag = record.tag();
        let (class, body) = (job.spec.class.clone(), job.spec.body.clone());
        let start =
            || Action::Start { tag, node: place.node, generation: place.generation, class, body, stop_after };
        if !turn.act(start) {
            return;
        }
        instance.is_start_sent = true;
    }
}
