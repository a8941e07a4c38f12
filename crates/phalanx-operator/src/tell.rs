//! The library's words in the protocol's.

use phalanx::{
    ClassName, ClusterEvent, JobEvent, JobName, JobStatus, Liveness as Lived, MemberEvent, NumberedEvent,
};
use phalanx_base::RosterState;

use crate::{Event, EventKind, Liveness, MemberState, TaskTold};

pub(crate) fn class(class: &ClassName) -> String {
    format!("{}/{}", class.name, class.version)
}

pub(crate) fn liveness(liveness: Lived) -> Liveness {
    match liveness {
        Lived::Alive => Liveness::Alive,
        Lived::Suspect => Liveness::Suspect,
        Lived::Down => Liveness::Down,
        Lived::Left => Liveness::Left,
    }
}

pub(crate) fn member_state(state: RosterState) -> MemberState {
    match state {
        RosterState::Joining => MemberState::Joining,
        RosterState::Active => MemberState::Active,
        RosterState::Draining => MemberState::Draining,
        RosterState::Gone => MemberState::Gone,
    }
}

pub(crate) fn event(event: NumberedEvent) -> Event {
    let NumberedEvent { number, unix_ms, event } = event;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let kind = match event {
        ClusterEvent::Member(event) => member_event(event),
        ClusterEvent::Worker { worker, status, hosted } => EventKind::Worker { node: worker, status, hosted },
        ClusterEvent::Labelled { worker } => EventKind::Labelled { node: worker },
        ClusterEvent::Redelivered { count } => EventKind::Redelivered { count },
        ClusterEvent::MassFailure { lost, known } => {
            EventKind::MassFailure { lost: count(lost), known: count(known) }
        }
        ClusterEvent::MassFailureEnded => EventKind::MassFailureEnded,
        ClusterEvent::Job(event) => job_event(event),
        ClusterEvent::User { from, name, payload } => EventKind::User { from, name, payload },
        ClusterEvent::Missed { count } => EventKind::Missed { count },
        ClusterEvent::Gap { after } => EventKind::Gap { after },
        ClusterEvent::PartitionSuspected { away } => EventKind::PartitionSuspected { away },
        ClusterEvent::PartitionEnded => EventKind::PartitionEnded,
        ClusterEvent::TaskStarted { worker, task, class: of, instance } => EventKind::TaskStarted(TaskTold {
            node: worker,
            task: task.to_string(),
            class: class(&of),
            instance,
        }),
        ClusterEvent::TaskStopped { worker, task, class: of, instance, end } => EventKind::TaskStopped {
            task: TaskTold { node: worker, task: task.to_string(), class: class(&of), instance },
            state: end.state(),
            reason: end.to_string(),
        },
    };
    Event { number, unix_ms, kind }
}

fn member_event(event: MemberEvent) -> EventKind {
    match event {
        MemberEvent::Joined(member) => EventKind::Joined { node: member.boot, address: member.address },
        MemberEvent::Up(node) => EventKind::Up(node),
        MemberEvent::Suspect(node) => EventKind::Suspect(node),
        MemberEvent::Down(node) => EventKind::Down(node),
        MemberEvent::Left(node) => EventKind::Left(node),
        MemberEvent::Removed(node) => EventKind::Removed(node),
        MemberEvent::Expelled => EventKind::Expelled,
        MemberEvent::PartitionOccurred => EventKind::PartitionOccurred,
        MemberEvent::PartitionHealed => EventKind::PartitionHealed,
        MemberEvent::Updated(version) => EventKind::RosterUpdated { version: version.0 },
        MemberEvent::Missed(count) => EventKind::Missed { count },
    }
}

fn job_event(event: JobEvent) -> EventKind {
    let of = |job: &JobName, what: &str, reason: String| EventKind::Job {
        job: job.to_string(),
        attempt: None,
        node: None,
        what: what.to_owned(),
        reason,
    };
    match event {
        JobEvent::InstanceChanged { tag, to, node, reason, .. } => EventKind::Job {
            job: tag.job.to_string(),
            attempt: Some(tag.to_string()),
            node,
            what: to.to_string(),
            reason,
        },
        JobEvent::JobChanged { job, status } => of(&job, job_status(status), String::new()),
        JobEvent::Waiting { job, instances, reason, .. } => {
            of(&job, "waiting", format!("{instances} instances wait: {reason}"))
        }
        JobEvent::RolloutStarted { job, task_version } => {
            of(&job, "rollout-started", format!("version {task_version}"))
        }
        JobEvent::RolloutProgressed { job, outdated } => {
            of(&job, "rollout-progressed", format!("{outdated} instances are of an older version"))
        }
        JobEvent::RolloutPaused { job, reason } => of(&job, "rollout-paused", reason),
        JobEvent::RolloutComplete { job, task_version } => {
            of(&job, "rollout-complete", format!("version {task_version}"))
        }
        JobEvent::JobRemoved { job } => of(&job, "removed", String::new()),
        JobEvent::Missed { count } => EventKind::Missed { count },
    }
}

/// A job's status in a word.
pub(crate) fn job_status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Placing => "placing",
        JobStatus::Placed => "placed",
        JobStatus::Degraded => "degraded",
        JobStatus::Complete => "complete",
        JobStatus::Stopped => "stopped",
    }
}
