//! Workers that are not heard: what runs there is in doubt, and after a time is given up, if the job wants that.

use std::time::Instant;

use crate::instance::Instance;
use crate::job::Job;
use crate::policy::LostPolicy;
use crate::reconcile::{STOP_AFTER_MARGIN, Turn, UNSEEN_GRACE};
use crate::spec::JobSpec;
use crate::state::InstanceState;

/// Where the worker of an attempt is.
enum Whereabouts {
    /// There, in the boot that the attempt was last seen in.
    Here,
    /// There, in another boot.
    Anew,
    /// Not heard since then.
    Away(Instant),
}

/// Judges all instances by the whereabouts of their workers.
pub(crate) fn judge(job: &mut Job, turn: &mut Turn<'_>) {
    let here: Vec<_> = job.sought.iter().filter(|node| is_connected(turn, node)).cloned().collect();
    for node in here {
        turn.nodes.need_listing(&node);
        job.sought.remove(&node);
    }
    for instance in job.instances.values_mut().filter(|instance| instance.state().is_live()) {
        let is_withdrawable = instance.state() == InstanceState::Starting && !instance.is_start_sent;
        match whereabouts(instance, turn) {
            Whereabouts::Here => doubt_here(instance, turn),
            Whereabouts::Anew | Whereabouts::Away(_) if is_withdrawable => {
                let reason = "its worker was lost before it was told to start";
                instance.end_as_asked(InstanceState::Killed, reason, &mut turn.moment());
            }
            Whereabouts::Anew => {
                if matches!(instance.state(), InstanceState::Running | InstanceState::Stopping) {
                    instance.doubt(&mut turn.moment(), "its worker has started anew");
                }
                doubt_here(instance, turn);
            }
            Whereabouts::Away(since) => {
                if matches!(instance.state(), InstanceState::Running | InstanceState::Stopping) {
                    instance.doubt(&mut turn.moment(), "its worker is lost");
                }
                // It is asked anew once it is back.
                instance.doubt = None;
                if instance.node().is_some_and(|node| turn.nodes.node(node).is_some()) {
                    // It holds up no update for as long as its worker is away.
                    instance.change = None;
                }
                if give_up(instance, &job.spec, since, turn) {
                    job.sought.extend(instance.node().cloned());
                }
            }
        }
    }
}

fn is_connected(turn: &Turn<'_>, node: &phalanx_base::NodeId) -> bool {
    turn.nodes.node(node).is_some_and(|node| node.is_connected())
}

fn whereabouts(instance: &Instance, turn: &Turn<'_>) -> Whereabouts {
    // Whatever lives has a place, but records come from elsewhere.
    let Some(place) = &instance.record.place else { return Whereabouts::Away(instance.since + UNSEEN_GRACE) };
    match turn.nodes.node(&place.node) {
        None => Whereabouts::Away(instance.since + UNSEEN_GRACE),
        Some(node) if !node.is_connected() => Whereabouts::Away(node.lost_since.unwrap_or(instance.since)),
        Some(node) if node.report.generation == place.generation => Whereabouts::Here,
        Some(_) => Whereabouts::Anew,
    }
}

/// Has a worker that is there asked about what is in doubt.
fn doubt_here(instance: &mut Instance, turn: &mut Turn<'_>) {
    if instance.state() == InstanceState::Unknown
        && instance.doubt.is_none()
        && let Some(node) = instance.node()
    {
        instance.doubt = Some(turn.nodes.need_listing(node));
    }
}

/// Gives up an attempt whose worker is lost for long enough, where that is allowed. Whether it did.
fn give_up(instance: &mut Instance, spec: &JobSpec, since: Instant, turn: &mut Turn<'_>) -> bool {
    if instance.state() != InstanceState::Unknown {
        return false;
    }
    let (at, reason) = match spec.on_lost {
        LostPolicy::Keep => return false,
        LostPolicy::StopAfter(after) => {
            (since + after + STOP_AFTER_MARGIN, "its worker is lost, and ends it by itself")
        }
        LostPolicy::Replace { lost_after } => (since + lost_after, "its worker is lost for too long"),
    };
    if turn.now < at {
        turn.wake(at);
        return false;
    }
    if turn.may_replace {
        instance.lose(true, reason, &mut turn.moment());
    }
    turn.may_replace
}
