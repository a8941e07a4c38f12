//! What a proxy's parts bear from a worker that is not honest, and how little they keep of one that is.

use super::events::Followed;
use super::{ControlEvent, Effects};
use crate::events::{EVENTS_IN_FLIGHT_MAX, LOGS_MAX};
use crate::session::Violation;
use crate::wire::{CallId, ClassName, Event, EventBody, Kind, TaskId, TaskSnapshot};
use bytes::Bytes;
use phalanx_base::{Boot, Fence, Generation, NodeId};

fn task(sequence: u64) -> TaskId {
    let caller = Boot { node: NodeId::new("c").unwrap(), generation: Generation::from_u64(1) };
    TaskId(CallId { caller, sequence })
}

fn class() -> ClassName {
    ClassName { name: "test".into(), version: 1 }
}

#[allow(clippy::disallowed_methods, reason = "any instant will do")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn followed() -> Followed {
    Followed::new(NodeId::new("w").unwrap(), Generation::from_u64(1))
}

fn event(task: &TaskId, sequence: u64, body: EventBody) -> Event {
    Event { fence: Fence(1), task: task.clone(), sequence, body }
}

fn snapshot(task: &TaskId, acked: u64) -> TaskSnapshot {
    let (task, class) = (task.clone(), class());
    TaskSnapshot { fence: Fence(1), task, class, acked, checkpoint: None, instance: None }
}

fn batches(fx: &mut Effects) -> Vec<Vec<(u64, EventBody)>> {
    std::mem::take(&mut fx.events)
        .into_iter()
        .filter_map(|event| match event {
            ControlEvent::Handle(batch) => Some(batch.entries),
            _ => None,
        })
        .collect()
}

#[test]
fn a_worker_announces_no_more_logs_than_it_can_have_and_sends_no_more_than_it_announced() {
    let mut followed = followed();
    assert_eq!(followed.begin(u32::try_from(LOGS_MAX).unwrap() + 1), Err(Violation::Flood));
    assert_eq!(followed.begin(1), Ok(()));
    assert!(!followed.is_resumed());
    assert_eq!(followed.resume(snapshot(&task(1), 0)), Ok(None));
    assert!(followed.is_resumed());
    let unasked = followed.resume(snapshot(&task(2), 0));
    assert_eq!(unasked, Err(Violation::OutOfOrder(Kind::TaskSnapshot)));
}

#[test]
fn a_flood_and_a_hole_are_violations() {
    let (mut followed, mut fx) = (followed(), Effects::default());
    followed.open(task(1), class(), None);
    let emitted = || EventBody::Emitted(Bytes::new());
    for sequence in 1..=2 * EVENTS_IN_FLIGHT_MAX as u64 {
        assert_eq!(followed.receive(event(&task(1), sequence, emitted())), Ok(false));
    }
    let next = 2 * EVENTS_IN_FLIGHT_MAX as u64 + 1;
    assert_eq!(followed.receive(event(&task(1), next, emitted())), Err(Violation::Flood));
    followed.open(task(2), class(), None);
    let hole = followed.receive(event(&task(2), 2, emitted()));
    assert_eq!(hole, Err(Violation::OutOfOrder(Kind::Event)));
    assert_eq!(followed.receive(event(&task(9), 1, emitted())), Ok(true), "nobody follows it");
    followed.dispatch_all(now(), &mut fx);
    assert_eq!(batches(&mut fx).len(), 1);
}

#[test]
fn a_gap_to_the_end_of_all_numbers_is_only_a_gap() {
    let (mut followed, mut fx) = (followed(), Effects::default());
    followed.open(task(1), class(), None);
    assert_eq!(followed.receive(event(&task(1), 1, EventBody::Gap { through: u64::MAX })), Ok(false));
    let after = event(&task(1), u64::MAX, EventBody::Emitted(Bytes::new()));
    assert_eq!(followed.receive(after), Ok(true), "nothing can follow it");
    followed.close(now(), |_| false, &mut fx);
}

#[test]
fn one_batch_at_a_time_and_only_its_own_return_counts() {
    let (mut followed, mut fx) = (followed(), Effects::default());
    followed.open(task(1), class(), None);
    for sequence in 1..=3 {
        followed.receive(event(&task(1), sequence, EventBody::Emitted(Bytes::new()))).unwrap();
        followed.dispatch(now(), &task(1), &mut fx);
    }
    assert_eq!(batches(&mut fx).len(), 1);
    assert!(!followed.is_quiet());
    assert_eq!(followed.handled(&task(1), 3, None), None, "another life's batch");
    assert!(followed.handled(&task(1), 1, None).is_some());
    assert_eq!(followed.handled(&task(1), 1, None), None);
    followed.dispatch(now(), &task(1), &mut fx);
    assert_eq!(batches(&mut fx)[0].len(), 2);
}

#[test]
fn ended_tasks_are_remembered_as_long_as_their_acknowledgement_may_be_lost() {
    let (mut followed, mut fx) = (followed(), Effects::default());
    let last = 3 * EVENTS_IN_FLIGHT_MAX as u64;
    for number in 1..=last {
        followed.open(task(number), class(), None);
        let end = EventBody::Ended(crate::outcome::TaskEnd::Stopped);
        followed.receive(event(&task(number), 1, end)).unwrap();
        followed.dispatch(now(), &task(number), &mut fx);
        assert!(followed.handled(&task(number), 1, Some(Bytes::from_static(b"state"))).is_some());
        assert!(!followed.contains(&task(number)), "it is not followed any more");
    }
    followed.lose();
    followed.begin(2).unwrap();
    let again = followed.resume(snapshot(&task(last), 0)).unwrap().unwrap();
    assert_eq!((again.task, again.through, again.checkpoint), (task(last), 1, None));
    assert_eq!(followed.resume(snapshot(&task(1), 0)), Ok(None), "long acknowledged, so this is another log");
}

/// Owners who own nothing, for a shard that only has to keep its links apart.
struct Nobody;

impl crate::ownership::Owners for Nobody {
    fn acting(&self, _: &NodeId) -> Option<crate::ownership::Acting> {
        None
    }
    fn is_me(&self, _: &NodeId) -> bool {
        false
    }
    fn is_down(&self, _: &NodeId) -> bool {
        false
    }
    fn controls(&self) -> Vec<NodeId> {
        Vec::new()
    }
    fn roster(&self) -> phalanx_base::RosterVersion {
        phalanx_base::RosterVersion(0)
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
fn a_late_link_of_an_earlier_boot_is_closed() {
    let now = std::time::Instant::now();
    let mut shard = super::ShardCore::new(crate::Config::default(), std::sync::Arc::new(Nobody), 1);
    let link = |link, generation| super::WorkerLink {
        link: crate::LinkId(link),
        boot: Boot { node: NodeId::new("w").unwrap(), generation: Generation::from_u64(generation) },
        role: phalanx_base::Role::Worker,
    };
    shard.handle_link(now, link(1, 2));
    shard.handle_link(now, link(2, 1));
    let closed: Vec<_> = std::iter::from_fn(|| shard.poll_event())
        .filter_map(|event| match event {
            ControlEvent::CloseLink(link, _) => Some(link),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [crate::LinkId(2)]);
}

#[test]
fn of_a_boot_that_is_over_only_those_are_lost_that_do_not_go_on() {
    let (mut followed, mut fx) = (followed(), Effects::default());
    for number in [1, 2] {
        followed.open(task(number), class(), None);
        followed.receive(event(&task(number), 1, EventBody::Emitted(Bytes::new()))).unwrap();
    }
    assert!(!followed.is_done(), "it is not over");
    followed.close(now(), |goes_on| *goes_on == task(2), &mut fx);
    let told = std::mem::take(&mut fx.events).into_iter().filter_map(|event| match event {
        ControlEvent::Handle(batch) => Some((batch.task, batch.entries)),
        _ => None,
    });
    let lost = vec![
        (1, EventBody::Gap { through: u64::MAX }),
        (u64::MAX, EventBody::Ended(crate::outcome::TaskEnd::Lost)),
    ];
    assert_eq!(told.collect::<Vec<_>>(), [(task(1), lost)]);
    followed.close(now(), |_| false, &mut fx);
    assert!(batches(&mut fx).is_empty(), "it is told once");
    assert!(followed.handled(&task(1), u64::MAX, None).is_some());
    assert!(followed.is_done());
}
