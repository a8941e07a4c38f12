//! Each rule as a story.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{Outcome, World, class, id, seconds, spec};
use phalanx_base::NodeStatus;
use phalanx_placement::Class;
use phalanx_supervision::{
    Action, Attempt, Count, EVENTS_MAX, EndKind, Event, InstanceState, JobError, JobStatus, LostPolicy,
    RestartPolicy, RestartWhen, STOP_AFTER_MARGIN, Supervisor, UNSEEN_GRACE, UpdatePolicy,
};

fn replace_after(time: u64) -> LostPolicy {
    LostPolicy::Replace { lost_after: seconds(time) }
}

#[test]
fn a_job_is_placed_evenly_and_its_records_say_so() {
    let world = World::new(&["a", "b", "c"], spec(Count::Exactly(6)));
    assert_eq!(["a", "b", "c"].map(|name| world.count_at(name)), [2, 2, 2]);
    assert!(world.records.values().all(|record| record.state == InstanceState::Running));
    let placed = Event::JobChanged { job: world.spec.name.clone(), status: JobStatus::Placed };
    assert!(world.events.contains(&placed));
}

#[test]
fn spreads_come_first_and_then_the_emptiest_worker() {
    let mut job = spec(Count::Exactly(4));
    job.preferences = job.preferences.spread_over("zone".parse().unwrap(), None).unwrap();
    let mut world = World::new(&[], job);
    for (name, zone) in [("a", "1"), ("b", "2"), ("c", "2")] {
        world.come(name);
        world.worker(name).labels = format!("fit;zone={zone}");
        world.report(&id(name));
    }
    world.advance(seconds(1));
    assert_eq!(["a", "b", "c"].map(|name| world.count_at(name)), [2, 1, 1]);
}

#[test]
fn nothing_starts_before_its_record_is_durable() {
    let mut world = World::new(&["a"], spec(Count::Exactly(0)));
    let job =
        phalanx_supervision::JobSpec { count: Count::Exactly(1), ..world.spec.clone() }.after(&world.spec);
    world.supervisor.handle_job(world.now, job, []).unwrap();
    let Some(Action::Record(record)) = world.supervisor.poll_action() else { panic!("no record") };
    assert_eq!(record.state, InstanceState::Starting);
    assert_eq!(world.supervisor.poll_action(), None);
    let now = world.now;
    world.supervisor.handle_recorded(now, &record.job, &record.instance, record.revision - 1);
    assert_eq!(world.supervisor.poll_action(), None, "an older revision is not it");
    world.supervisor.handle_recorded(now, &record.job, &record.instance, record.revision);
    assert!(matches!(world.supervisor.poll_action(), Some(Action::Start { tag, .. }) if tag == record.tag()));
}

#[test]
fn what_can_never_be_placed_is_said_at_once() {
    let mut job = spec(Count::Exactly(3));
    job.class = Class { name: "shop.api".into(), version: 2 };
    let world = World::new(&["a", "b"], job);
    let waiting = Event::Waiting {
        job: world.spec.name.clone(),
        instances: 3,
        reason: "of 2 workers: 2 lack class shop.api version 2".into(),
        may_pass: false,
    };
    assert_eq!(world.events.iter().filter(|event| **event == waiting).count(), 1, "{:?}", world.events);
    assert!(world.starts.is_empty());
}

#[test]
fn scaling_down_stops_the_highest_indexes_and_forgets_them() {
    let mut world = World::new(&["a", "b"], spec(Count::Exactly(5)));
    world.change(|spec| spec.count = Count::Exactly(2));
    assert_eq!(world.running(false).len(), 2);
    assert!(world.at(0).is_some() && world.at(1).is_some());
    assert_eq!(world.records.len(), 2);
    assert_eq!(world.starts.len(), 5, "what stays is not started anew");
}

#[test]
fn failures_wait_longer_each_time_and_too_many_are_final() {
    let mut job = spec(Count::Exactly(1));
    job.restart = RestartPolicy { restarts_max: Some(2), ..RestartPolicy::default() };
    let mut world = World::new(&["a"], job);
    for pause in [1, 2] {
        world.end_of(0, EndKind::Failed);
        assert_eq!(world.at(0), None);
        // It has waited a quarter more at most.
        world.advance(seconds(pause) + seconds(pause) / 4);
        assert_eq!(world.at(0), Some(id("a")));
    }
    world.end_of(0, EndKind::Failed);
    world.advance(seconds(3_600));
    let record = world.record(0);
    assert_eq!((record.state, record.attempt), (InstanceState::Failed, Attempt(3)));
    assert_eq!(record.ended.len(), 3);
    assert_eq!(record.ended[0].last_lines, ["last words"]);
    // Another version begins afresh.
    world.change(|spec| spec.body = Bytes::from_static(b"2"));
    assert_eq!(world.at(0), Some(id("a")));
    assert_eq!(world.record(0).failures, 0);
}

#[test]
fn a_success_is_final_unless_it_is_always_to_run() {
    let mut world = World::new(&["a"], spec(Count::Exactly(1)));
    world.end_of(0, EndKind::Succeeded);
    world.advance(seconds(600));
    assert_eq!(world.record(0).state, InstanceState::Succeeded);
    let complete = Event::JobChanged { job: world.spec.name.clone(), status: JobStatus::Complete };
    assert!(world.events.contains(&complete));

    let mut job = spec(Count::Exactly(1));
    job.restart.when = RestartWhen::Always;
    let mut world = World::new(&["a"], job);
    world.end_of(0, EndKind::Succeeded);
    world.advance(seconds(2));
    assert_eq!(world.record(0).attempt, Attempt(2));
}

#[test]
fn a_worker_that_refuses_is_avoided() {
    let mut world = World::new(&[], spec(Count::Exactly(1)));
    world.outcomes.push_back(Outcome::Refused);
    world.come("a");
    world.advance(seconds(1));
    world.come("b");
    world.advance(seconds(5));
    assert_eq!(world.at(0), Some(id("b")));
    assert_eq!(world.record(0).failures, 0, "a refusal is no failure of the task");
}

#[test]
fn a_start_that_nobody_answered_is_found_by_a_listing() {
    let mut world = World::new(&["a", "b"], spec(Count::Exactly(0)));
    world.outcomes.push_back(Outcome::RunsUnheard);
    world.set_answers_listings(false);
    world.change(|spec| spec.count = Count::Exactly(1));
    world.advance(seconds(60));
    assert_eq!(world.record(0).state, InstanceState::Unknown);
    assert_eq!(world.starts.len(), 1, "it is started nowhere else meanwhile");
    world.set_answers_listings(true);
    world.advance(seconds(5));
    assert_eq!((world.record(0).state, world.record(0).attempt), (InstanceState::Running, Attempt(1)));
}

#[test]
fn a_start_that_did_not_happen_is_followed_by_another_attempt() {
    let mut world = World::new(&["a"], spec(Count::Exactly(0)));
    world.outcomes.push_back(Outcome::Vanishes);
    world.change(|spec| spec.count = Count::Exactly(1));
    assert_eq!(world.at(0), None);
    world.advance(seconds(2));
    assert_eq!((world.record(0).state, world.record(0).attempt), (InstanceState::Running, Attempt(2)));
    assert_eq!(world.record(0).ended[0].state, InstanceState::Lost);
}

#[test]
fn kept_instances_stay_with_a_worker_that_is_lost() {
    let mut world = World::new(&["a", "b"], spec(Count::Exactly(2)));
    world.lose("a");
    world.advance(seconds(3_600));
    assert_eq!(world.starts.len(), 2);
    assert!(world.records.values().any(|record| record.state == InstanceState::Unknown));
    let degraded = Event::JobChanged { job: world.spec.name.clone(), status: JobStatus::Degraded };
    assert!(world.events.contains(&degraded));
    world.back("a");
    world.advance(seconds(1));
    assert!(world.records.values().all(|record| record.state == InstanceState::Running));
    // A boot ends them for certain.
    world.reboot("a");
    world.advance(seconds(1));
    assert_eq!((world.starts.len(), world.running(true).len()), (3, 2));
}

#[test]
fn a_lost_instance_is_replaced_with_leave_only_and_the_old_one_is_stopped_when_it_is_back() {
    let mut job = spec(Count::Exactly(1));
    job.on_lost = replace_after(20);
    let mut world = World::new(&["a", "b"], job);
    let first = world.at(0).unwrap();
    world.lose(first.as_str());
    world.advance(seconds(19));
    assert_eq!(world.starts.len(), 1);
    world.set_may_replace(false);
    world.advance(seconds(60));
    assert_eq!(world.starts.len(), 1);
    world.set_may_replace(true);
    world.advance(seconds(1));
    assert_eq!(world.record(0).attempt, Attempt(2));
    assert_eq!(world.running(false).len(), 2, "nobody can stop what nobody can reach");
    world.back(first.as_str());
    assert_eq!(world.running(false).len(), 1);
    assert_ne!(world.at(0), Some(first));
    assert!(!world.record(0).ended[0].may_run);
}

#[test]
fn the_old_attempt_is_stopped_also_by_a_new_supervisor_and_after_a_scale_down() {
    let mut job = spec(Count::Exactly(1));
    job.on_lost = replace_after(5);
    let mut world = World::new(&["a", "b"], job);
    let first = world.at(0).unwrap();
    world.lose(first.as_str());
    world.advance(seconds(10));
    world.change(|spec| spec.count = Count::Exactly(0));
    world.advance(seconds(10));
    assert_eq!(world.records.len(), 1, "the record stays for as long as something of it may run");
    world.take_over();
    world.advance(seconds(60));
    assert_eq!(world.running(false).len(), 1);
    world.back(first.as_str());
    world.advance(seconds(1));
    assert_eq!((world.running(false).len(), world.records.len()), (0, 0));
}

#[test]
fn what_its_worker_ends_by_itself_is_started_elsewhere_later_than_that() {
    let mut job = spec(Count::Exactly(1));
    job.on_lost = LostPolicy::StopAfter(seconds(30));
    let mut world = World::new(&["a", "b"], job);
    let first = world.at(0).unwrap();
    world.lose(first.as_str());
    world.advance(seconds(30) + STOP_AFTER_MARGIN - seconds(1));
    assert_eq!(world.starts.len(), 1);
    world.advance(seconds(2));
    assert_eq!(world.starts.len(), 2);
}

#[test]
fn a_new_supervisor_finds_what_runs_and_starts_nothing_twice() {
    let mut job = spec(Count::Exactly(4));
    job.on_lost = replace_after(0);
    let mut world = World::new(&["a", "b"], job);
    world.take_over();
    world.advance(UNSEEN_GRACE * 2);
    assert_eq!((world.starts.len(), world.running(true).len()), (4, 4));
    assert!(world.records.values().all(|record| record.state == InstanceState::Running));
}

#[test]
fn a_second_supervisor_for_a_moment_stops_and_starts_nothing() {
    let mut world = World::new(&["a", "b", "c"], spec(Count::Exactly(3)));
    let (running, starts) = (world.running(true), world.starts.len());
    for _ in 0..3 {
        world.rival();
        world.advance(seconds(60));
        assert_eq!(world.running(true), running);
        assert!(world.records.values().all(|record| record.state == InstanceState::Running));
    }
    assert_eq!(world.starts.len(), starts);
    assert!(!world.events.iter().any(|event| {
        matches!(event, Event::InstanceChanged { to: InstanceState::Unknown | InstanceState::Succeeded, .. })
    }));
}

#[test]
fn an_update_goes_on_one_by_one_as_they_become_healthy() {
    let mut job = spec(Count::Exactly(3));
    job.update = UpdatePolicy { max_parallel: 1, healthy_after: seconds(10), ..UpdatePolicy::default() };
    let mut world = World::new(&["a", "b"], job);
    world.change(|spec| spec.body = Bytes::from_static(b"2"));
    let new = |world: &World| world.records.values().filter(|record| record.task_version == 2).count();
    for healthy in 0..3 {
        assert_eq!(new(&world), healthy + 1);
        world.advance(seconds(10));
    }
    world.advance(seconds(1));
    let complete = Event::RolloutComplete { job: world.spec.name.clone(), task_version: 2 };
    assert!(world.events.contains(&complete), "{:?}", world.events);
    assert_eq!(world.starts.len(), 6);
}

#[test]
fn an_update_that_fails_pauses_until_the_next_version() {
    let mut job = spec(Count::Exactly(3));
    job.update.healthy_after = seconds(10);
    let mut world = World::new(&["a"], job);
    world.change(|spec| spec.body = Bytes::from_static(b"2"));
    world.end_of(0, EndKind::Failed);
    world.advance(seconds(3_000));
    assert!(
        world.events.iter().any(|event| matches!(event, Event::RolloutPaused { reason, .. }
        if reason == "instance [0] of the new version failed: Failed")),
        "{:?}",
        world.events
    );
    let old = world.records.values().filter(|record| record.task_version == 1).count();
    assert_eq!(old, 2, "the others are left alone");
    assert!(world.supervisor.job(&world.spec.name).unwrap().is_rollout_paused());
    world.change(|spec| spec.body = Bytes::from_static(b"3"));
    world.advance(seconds(60));
    assert!(world.records.values().all(|record| record.task_version == 3));
    assert!(!world.supervisor.job(&world.spec.name).unwrap().is_rollout_paused());
}

#[test]
fn an_update_without_progress_pauses_at_its_deadline() {
    let mut world = World::new(&["a"], spec(Count::Exactly(2)));
    world.change(|spec| spec.class = Class { version: 9, ..class() });
    world.advance(seconds(700));
    let paused = |event: &Event| matches!(event, Event::RolloutPaused { .. });
    assert!(world.events.iter().any(paused), "{:?}", world.events);
    assert_eq!(world.running(true).len(), 1, "only one was given up for it");
}

#[test]
fn a_drain_moves_instances_away_as_long_as_there_is_a_place() {
    let mut world = World::new(&["a"], spec(Count::Exactly(2)));
    world.worker("a").status = NodeStatus::Stopping;
    world.report(&id("a"));
    world.advance(seconds(60));
    assert_eq!(world.count_at("a"), 2, "there is no place yet");
    world.come("b");
    world.advance(seconds(1));
    assert_eq!((world.count_at("a"), world.count_at("b")), (1, 1), "one at a time");
    world.advance(seconds(20));
    assert_eq!((world.count_at("a"), world.count_at("b")), (0, 2));
    // Standby takes nothing new and gives nothing away.
    world.worker("b").status = NodeStatus::Standby;
    world.report(&id("b"));
    world.come("c");
    world.advance(seconds(60));
    assert_eq!(world.count_at("b"), 2);
}

#[test]
fn one_on_each_node_follows_the_nodes() {
    let mut world = World::new(&["a", "b"], spec(Count::PerNode));
    world.come("c");
    world.advance(seconds(1));
    assert_eq!(["a", "b", "c"].map(|name| world.count_at(name)), [1, 1, 1]);
    world.worker("b").labels = String::new();
    world.report(&id("b"));
    world.advance(seconds(1));
    assert_eq!(["a", "b", "c"].map(|name| world.count_at(name)), [1, 0, 1]);
    world.remove("c");
    world.advance(seconds(1));
    assert_eq!(world.records.len(), 1);
}

#[test]
fn a_stopped_job_rests_and_starts_anew() {
    let mut world = World::new(&["a"], spec(Count::Exactly(2)));
    world.change(|spec| spec.stopped = true);
    assert!(world.running(false).is_empty());
    assert!(world.records.values().all(|record| record.state == InstanceState::Killed));
    world.take_over();
    world.advance(seconds(600));
    assert!(world.running(false).is_empty());
    world.change(|spec| spec.stopped = false);
    assert_eq!(world.running(false).len(), 2);
    assert!(world.records.values().all(|record| record.attempt == Attempt(2)));
}

#[test]
fn a_removed_job_leaves_nothing_and_a_released_one_everything() {
    let mut world = World::new(&["a"], spec(Count::Exactly(2)));
    let name = world.spec.name.clone();
    world.supervisor.handle_release(&name);
    world.settle();
    assert_eq!((world.running(false).len(), world.records.len()), (2, 2));
    world.take_over();
    world.supervisor.handle_job_removed(world.now, &name);
    let again = world.supervisor.handle_job(world.now, world.spec.clone(), []);
    assert_eq!(again, Err(JobError::BeingRemoved(name.clone())));
    world.settle();
    assert_eq!((world.running(false).len(), world.records.len()), (0, 0));
    assert!(world.supervisor.job(&name).is_none());
    assert!(world.events.contains(&Event::JobRemoved { job: name }));
}

#[test]
fn an_older_version_is_refused() {
    let mut world = World::new(&["a"], spec(Count::Exactly(1)));
    let old = world.spec.clone();
    world.change(|spec| spec.count = Count::Exactly(2));
    let refused = world.supervisor.handle_job(world.now, old, []);
    assert_eq!(refused, Err(JobError::Stale { given: 1, known: 2 }));
}

#[test]
fn events_that_nobody_reads_are_dropped_and_counted() {
    let mut world = World::new(&["a"], spec(Count::Exactly(0)));
    let other = Supervisor::new(world.now, 9);
    let mut supervisor = std::mem::replace(&mut world.supervisor, other);
    let mut job = world.spec.clone();
    for round in 0..EVENTS_MAX {
        // Each change of a job's state is an event.
        job = phalanx_supervision::JobSpec { stopped: round % 2 == 0, ..job.clone() }.after(&job);
        supervisor.handle_job(world.now, job.clone(), []).unwrap();
        while supervisor.poll_action().is_some() {}
    }
    for round in 0..8 {
        job = phalanx_supervision::JobSpec { stopped: round % 2 == 0, ..job.clone() }.after(&job);
        supervisor.handle_job(world.now, job.clone(), []).unwrap();
        while supervisor.poll_action().is_some() {}
    }
    assert!(matches!(supervisor.poll_event(), Some(Event::Missed { count: 8.. })));
    assert_eq!(std::iter::from_fn(|| supervisor.poll_event()).count(), EVENTS_MAX);
}

#[test]
fn leave_that_is_withdrawn_holds_up_what_was_about_to_start() {
    let mut job = spec(Count::Exactly(1));
    job.on_lost = replace_after(5);
    let mut world = World::new(&["a", "b"], job);
    let first = world.at(0).unwrap();
    world.set_holds_records(true);
    world.lose(first.as_str());
    world.advance(seconds(10));
    world.set_may_replace(false);
    world.set_holds_records(false);
    world.advance(seconds(60));
    assert_eq!(world.starts.len(), 1, "its record became durable too late");
    world.set_may_replace(true);
    assert_eq!(world.starts.len(), 2);
}
