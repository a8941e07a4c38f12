//! One after the other: how a new version takes the place of the old one, and how instances leave workers that drain.
//!
//! Both stop the present attempt first and start the next one then, so that an instance never runs twice and a job never has
//! more tasks than it was given. Both count against the same `max_parallel`. An instance is on its way until the next attempt
//! has run for `healthy_after`.

use std::time::Instant;

use phalanx_base::NodeStatus;

use crate::event::Event;
use crate::instance::{Change, Instance};
use crate::job::{Fate, Job};
use crate::placing::Crowd;
use crate::reconcile::Turn;
use crate::spec::Count;
use crate::state::InstanceState;

/// A new version on its way.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) is_paused: bool,
    /// When an instance last became healthy, or when it began.
    progress_at: Instant,
}

/// Moves the rollout and the moves on.
pub(crate) fn advance(job: &mut Job, turn: &mut Turn<'_>) {
    let arrived = arrive(job, turn);
    let outdated = job.instances.values().filter(|instance| instance.is_outdated(&job.spec)).count();
    follow(job, turn, outdated, arrived);
    if job.is_removed || job.spec.stopped {
        return;
    }
    let on_the_way = job.instances.values().filter(|instance| instance.change.is_some()).count();
    let max_parallel = usize::try_from(job.spec.update.max_parallel).unwrap_or(usize::MAX);
    let mut budget = max_parallel.saturating_sub(on_the_way);
    let names: Vec<_> = job.instances.keys().cloned().collect();
    for name in names {
        if budget == 0 {
            break;
        }
        if job.fate(&name, turn.nodes) != Fate::Run {
            continue;
        }
        let Some(change) = next_change(job, &job.instances[&name], turn) else { continue };
        if let Some(instance) = job.instances.get_mut(&name) {
            let reason = match change {
                Change::Update => "another version takes its place",
                Change::Move => "its worker drains or does not match any more",
            };
            instance.go(InstanceState::Stopping, reason, &mut turn.moment());
            instance.change = Some(change);
            budget -= 1;
        }
    }
}

/// Takes note of those that are healthy, and says how many of a new version are so.
fn arrive(job: &mut Job, turn: &mut Turn<'_>) -> usize {
    let healthy_after = job.spec.update.healthy_after;
    let mut arrived = 0;
    for instance in job.instances.values_mut().filter(|instance| instance.change.is_some()) {
        let is_over = instance.state().is_terminal() && !instance.has_successor(&job.spec);
        if instance.is_healthy(turn.now, healthy_after) || is_over {
            let was_update = instance.change.take() == Some(Change::Update);
            arrived += usize::from(was_update && !is_over && !instance.is_outdated(&job.spec));
        } else if let Some(since) = instance.running_since {
            turn.wake(since + healthy_after);
        }
    }
    arrived
}

/// Begins, pauses and completes the rollout.
fn follow(job: &mut Job, turn: &mut Turn<'_>, outdated: usize, arrived: usize) {
    let (name, task_version) = (job.spec.name.clone(), job.spec.task_version);
    if job.rollout.is_none() && outdated > 0 && !job.spec.stopped && !job.is_removed {
        job.rollout = Some(Rollout { is_paused: false, progress_at: turn.now });
        turn.events.push(Event::RolloutStarted { job: name.clone(), task_version });
    }
    let Some(rollout) = &mut job.rollout else { return };
    if arrived > 0 {
        rollout.progress_at = turn.now;
        turn.events.push(Event::RolloutProgressed { job: name.clone(), outdated });
    }
    let is_on_its_way = |instance: &&Instance| instance.change == Some(Change::Update);
    if outdated == 0 && !job.instances.values().any(|instance| is_on_its_way(&instance)) {
        job.rollout = None;
        turn.events.push(Event::RolloutComplete { job: name, task_version });
        return;
    }
    if rollout.is_paused {
        return;
    }
    let failed = job.instances.values().filter(is_on_its_way).find_map(|instance| {
        let ended = instance.record.ended.last()?;
        (ended.counts && ended.task_version == task_version && instance.record.failures > 0).then(|| {
            format!(
                "instance {} of the new version {}: {}",
                instance.record.instance, ended.state, ended.reason
            )
        })
    });
    let deadline = rollout.progress_at + job.spec.update.progress_deadline;
    let reason = match failed {
        Some(reason) => reason,
        None if turn.now >= deadline => "no instance became healthy before the deadline".to_owned(),
        None => return turn.wake(deadline),
    };
    rollout.is_paused = true;
    turn.events.push(Event::RolloutPaused { job: name, reason });
}

/// Whether an instance is to go on its way.
fn next_change(job: &Job, instance: &Instance, turn: &Turn<'_>) -> Option<Change> {
    let place = instance.record.place.as_ref()?;
    if instance.state() != InstanceState::Running || instance.change.is_some() {
        return None;
    }
    let node = turn.nodes.node(&place.node).filter(|node| node.is_connected())?;
    if instance.is_outdated(&job.spec) && job.rollout.as_ref().is_some_and(|rollout| !rollout.is_paused) {
        return Some(Change::Update);
    }
    let drains = matches!(node.status(), NodeStatus::Stopping | NodeStatus::Stopped);
    let may_move = matches!(job.spec.count, Count::Exactly(_)) && (drains || !job.placing.matches(node));
    // Where nobody can take it, it stays as long as it can.
    let is_place = || job.placing.place(turn.nodes, &Crowd::new(), Some(&place.node), turn.seed).is_ok();
    (may_move && is_place()).then_some(Change::Move)
}
