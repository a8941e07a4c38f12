//! Which instances there are to be.

use crate::action::Action;
use crate::instance::Instance;
use crate::job::{Fate, Job};
use crate::name::InstanceName;
use crate::reconcile::Turn;
use crate::spec::Count;
use crate::state::InstanceState;

/// Stops what is not to run, the highest index first, and forgets what is not to be and is surely over.
pub(crate) fn dismiss(job: &mut Job, turn: &mut Turn<'_>) {
    let names: Vec<InstanceName> = job.instances.keys().rev().cloned().collect();
    for name in names {
        let fate = job.fate(&name, turn.nodes);
        let Some(instance) = job.instances.get_mut(&name).filter(|_| fate != Fate::Run) else { continue };
        let reason = match (fate, job.is_removed) {
            (Fate::Rest, _) => "the job is stopped",
            (_, true) => "the job was removed",
            _ => "it is not wanted any more",
        };
        end(instance, fate, reason, turn);
        if fate == Fate::Go && instance.is_over() && !job.strays.has(&name) {
            let was_recorded = instance.sent > 0;
            if !was_recorded || turn.act(|| Action::Forget(Box::new(instance.record.clone()))) {
                job.instances.remove(&name);
                turn.room += 1;
            }
        }
    }
}

fn end(instance: &mut Instance, fate: Fate, reason: &str, turn: &mut Turn<'_>) {
    instance.change = None;
    match instance.state() {
        InstanceState::Running => {
            instance.go(InstanceState::Stopping, reason, &mut turn.moment());
        }
        InstanceState::Starting if !instance.is_start_sent => {
            instance.end_as_asked(InstanceState::Killed, reason, &mut turn.moment());
        }
        InstanceState::Pending if fate == Fate::Rest => {
            instance.end_as_asked(InstanceState::Killed, reason, &mut turn.moment());
        }
        _ => {}
    }
}

/// Makes the instances that are missing.
pub(crate) fn create(job: &mut Job, turn: &mut Turn<'_>) {
    if job.is_removed || job.spec.stopped {
        return;
    }
    let missing: Vec<InstanceName> = match job.spec.count {
        Count::Exactly(count) => {
            let names = (0..count).map(InstanceName::Index);
            names.filter(|name| !job.instances.contains_key(name)).take(turn.room).collect()
        }
        Count::PerNode => {
            let fit =
                turn.nodes.iter().filter(|(_, node)| node.lost_since.is_none() && job.placing.matches(node));
            let names = fit.map(|(node, _)| InstanceName::Node(node.clone()));
            names.filter(|name| !job.instances.contains_key(name)).take(turn.room).collect()
        }
    };
    turn.room -= missing.len();
    for name in missing {
        let instance = Instance::new(job.spec.name.clone(), name.clone(), turn.now);
        job.instances.insert(name, instance);
    }
}

/// Begins the next attempt at what has ended and is to run.
pub(crate) fn succeed(job: &mut Job, turn: &mut Turn<'_>) {
    let names: Vec<InstanceName> = job
        .instances
        .iter()
        .filter(|(name, instance)| {
            instance.has_successor(&job.spec) && job.fate(name, turn.nodes) == Fate::Run
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        if let Some(instance) = job.instances.get_mut(&name) {
            instance.begin_next(&job.spec);
        }
    }
}
