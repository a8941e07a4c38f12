//! The library's words in the protocol's.

use phalanx::{ClassName, ClusterEvent, Liveness as Lived, MemberEvent, NumberedEvent};
use phalanx_base::RosterState;

use crate::{Event, EventKind, Liveness, MemberState};

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
        ClusterEvent::User { from, name, payload } => EventKind::User { from, name, payload },
        ClusterEvent::Missed { count } => EventKind::Missed { count },
        ClusterEvent::Gap { after } => EventKind::Gap { after },
        ClusterEvent::PartitionSuspected { away } => EventKind::PartitionSuspected { away },
        ClusterEvent::PartitionEnded => EventKind::PartitionEnded,
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
