//! Tells tasks to stop, and again where no end is heard.

use crate::action::Action;
use crate::job::Job;
use crate::name::Tag;
use crate::reconcile::{STOP_REPEAT, Turn};
use crate::state::InstanceState;

/// Sends the stops that are due, to those that are to stop and to those that should not run at all.
pub(crate) fn send(job: &mut Job, turn: &mut Turn<'_>) {
    let grace = job.spec.stop_grace;
    let repeat = grace + STOP_REPEAT;
    for instance in job.instances.values_mut().filter(|one| one.state() == InstanceState::Stopping) {
        let Some(at) = instance.stop_at else { continue };
        if at > turn.now {
            turn.wake(at);
            continue;
        }
        let Some(place) = instance.record.place.clone() else { continue };
        let tag = instance.record.tag();
        let Some(task) = place.task else { continue };
        if instance.stops > 0 {
            // Its end may have been missed: the worker is asked.
            instance.doubt = Some(turn.nodes.need_listing(&place.node));
        }
        let node = place.node;
        if !turn.act(|| Action::Stop { tag, node, task, grace }) {
            return;
        }
        instance.stops = instance.stops.saturating_add(1);
        instance.stop_at = Some(turn.now + repeat);
        turn.wake(turn.now + repeat);
    }
    for ((instance, attempt, node), stray) in job.strays.iter_mut() {
        if !turn.nodes.node(node).is_some_and(|node| node.is_connected()) {
            continue;
        }
        if stray.stop_at > turn.now {
            turn.wake(stray.stop_at);
            continue;
        }
        let tag = Tag { job: job.spec.name.clone(), instance: instance.clone(), attempt: *attempt };
        let (node, task) = (node.clone(), stray.task.clone());
        if !turn.act(|| Action::Stop { tag, node, task, grace }) {
            return;
        }
        stray.stop_at = turn.now + repeat;
        turn.wake(stray.stop_at);
    }
}
