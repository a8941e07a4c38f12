//! The life of a task: attempts of an instance fence each other, ends are kept with their last words, and each owner tells
//! of each start and end once.

mod common;

use std::time::Duration;

use common::{World, bytes, class, command, output, start, start_attempt};
use phalanx_base::Role;
use phalanx_jobs::wire::{CallId, CommandStream, Instance, TaskId, Verb};
use phalanx_jobs::{
    Config, EndSummary, LOG_LINES_MAX, Outcome, Reason, SUPERSEDED_GRACE, TaskDetails, TaskEnd, TaskState,
};

const SECOND: Duration = Duration::from_secs(1);

fn outcome(world: &mut World, id: &CallId) -> Outcome {
    let [outcome] = world.control("a").outcomes(id)[..] else { panic!("{id} has not one outcome") };
    outcome.clone()
}

fn attempt(world: &mut World, number: u64) -> TaskId {
    let id = world.call("a", start_attempt(number));
    world.settle();
    assert_eq!(outcome(world, &id), Outcome::Done(bytes("")));
    TaskId(id)
}

fn refused(reason: Reason) -> Outcome {
    Outcome::NotExecuted(reason)
}

fn details(world: &World, task: &TaskId) -> TaskDetails {
    world.worker.core.task_details(world.now, task).expect("it is known")
}

fn state(world: &World, task: &TaskId) -> TaskState {
    details(world, task).state
}

#[test]
fn an_attempt_that_is_not_later_is_refused_before_anything_runs() {
    let mut world = World::attached();
    let first = attempt(&mut world, 5);
    for number in [5, 4, 0] {
        let id = world.call("a", start_attempt(number));
        world.settle();
        assert_eq!(outcome(&mut world, &id), refused(Reason::Superseded));
    }
    assert_eq!((world.worker.tasks.len(), world.worker.stopping.len()), (1, 0));
    let instance = Instance::new("job", "0", 5).unwrap();
    assert_eq!(details(&world, &first).instance, Some(instance.clone()));
    assert_eq!(world.worker.core.tasks().next().unwrap().instance, Some(instance));
    // Its end does not allow it again.
    world.end(&first, TaskEnd::Done(bytes("")));
    let again = world.call("a", start_attempt(5));
    world.settle();
    assert_eq!(outcome(&mut world, &again), refused(Reason::Superseded));
    attempt(&mut world, 6);
}

#[test]
fn the_same_start_again_is_no_other_attempt() {
    let mut world = World::attached();
    let task = attempt(&mut world, 5);
    let call = world.proxy_call(task.0.clone(), start_attempt(5), 30 * SECOND);
    world.enter("a", call);
    world.settle();
    assert_eq!(world.control("a").outcomes(&task.0), [&Outcome::Done(bytes("")); 2]);
    assert_eq!(world.worker.tasks.len(), 1);
}

#[test]
fn a_later_attempt_begins_when_the_earlier_one_has_ended() {
    let mut world = World::attached();
    let first = attempt(&mut world, 1);
    let second = attempt(&mut world, 2);
    assert_eq!((state(&world, &first), state(&world, &second)), (TaskState::Stopping, TaskState::Starting));
    assert_eq!(world.worker.stopping, [(first.clone(), world.now + SUPERSEDED_GRACE)]);
    assert!(!world.worker.tasks.contains(&second));
    // It cannot be told anything yet, but its end can be waited for.
    let hasty = world.call("a", command(&second, &CommandStream(second.0.clone()), 0));
    let waiting = world.call("a", output(&second));
    world.settle();
    assert_eq!(outcome(&mut world, &hasty), refused(Reason::TaskStarting));
    world.end(&first, TaskEnd::Failed(bytes("told to stop")));
    assert_eq!((state(&world, &first), state(&world, &second)), (TaskState::Failed, TaskState::Running));
    world.end(&second, TaskEnd::Done(bytes("second")));
    world.settle();
    let end = postcard::to_stdvec(&TaskEnd::Done(bytes("second"))).unwrap();
    assert_eq!(outcome(&mut world, &waiting), Outcome::Done(end.into()));
}

#[test]
fn an_earlier_attempt_that_does_not_stop_is_ended_after_its_grace() {
    let mut world = World::attached();
    let first = attempt(&mut world, 1);
    let second = attempt(&mut world, 2);
    world.pass(SUPERSEDED_GRACE - Duration::from_millis(1));
    assert_eq!((world.worker.aborted.len(), state(&world, &second)), (0, TaskState::Starting));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.worker.aborted, std::slice::from_ref(&first));
    assert_eq!(details(&world, &first).end, Some(EndSummary::Stopped));
    assert_eq!((state(&world, &first), state(&world, &second)), (TaskState::Killed, TaskState::Running));
    assert_eq!(details(&world, &second).running_ms, 0, "it has just begun");
}

#[test]
fn an_attempt_between_never_begins() {
    let mut world = World::attached();
    let [first, between, last] = [1, 2, 3].map(|number| attempt(&mut world, number));
    assert_eq!(details(&world, &between).end, Some(EndSummary::Aborted(Reason::Superseded)));
    assert_eq!(state(&world, &between), TaskState::Killed);
    assert_eq!(state(&world, &last), TaskState::Starting);
    // Who waits can be told to stop, or killed, without having begun.
    world.call("a", Verb::Stop { task: last.clone(), grace_ms: 60_000 });
    world.settle();
    assert_eq!(state(&world, &last), TaskState::Killed);
    let killed = attempt(&mut world, 4);
    world.call("a", Verb::Kill { task: killed.clone() });
    world.settle();
    assert_eq!(details(&world, &killed).end, Some(EndSummary::Killed));
    assert_eq!(world.worker.aborted, []);
    world.end(&first, TaskEnd::Done(bytes("")));
    assert_eq!(world.worker.tasks.len(), 0);
    assert_eq!(world.worker.core.running_tasks(), 0);
    world.pass(60 * SECOND);
    assert_eq!(world.history.missing(world.worker.boot.generation), [], "each end was an event");
}

#[test]
fn whoever_waits_begins_under_another_owner_too() {
    let mut world = World::attached();
    let first = attempt(&mut world, 1);
    let second = attempt(&mut world, 2);
    world.set_acting("b");
    world.pass(SECOND);
    world.cut_all();
    world.end(&first, TaskEnd::Stopped);
    assert_eq!(state(&world, &second), TaskState::Running, "it was accepted under a fence that was right");
}

#[test]
fn a_worker_that_stops_does_not_begin_what_waits() {
    let mut world = World::attached();
    let first = attempt(&mut world, 1);
    let second = attempt(&mut world, 2);
    world.worker.core.handle_stop(world.now, world.now + 60 * SECOND);
    world.drain();
    assert_eq!(state(&world, &second), TaskState::Killed);
    world.end(&first, TaskEnd::Stopped);
    assert_eq!(world.worker.core.status(), phalanx_base::NodeStatus::Stopped);
}

#[test]
fn a_killed_task_has_ended_at_once_and_to_kill_it_again_changes_nothing() {
    let mut world = World::attached();
    let task = TaskId(world.call("a", start()));
    world.settle();
    let waiting = world.call("a", output(&task));
    let kill = world.call("a", Verb::Kill { task: task.clone() });
    world.settle();
    assert_eq!(outcome(&mut world, &kill), Outcome::Done(bytes("")));
    assert_eq!(world.worker.aborted, std::slice::from_ref(&task));
    let end = Outcome::Done(postcard::to_stdvec(&TaskEnd::Killed).unwrap().into());
    assert_eq!(outcome(&mut world, &waiting), end);
    let again = world.call("a", Verb::Kill { task: task.clone() });
    let late = world.call("a", command(&task, &CommandStream(task.0.clone()), 0));
    let nobody = world.call("a", Verb::Kill { task: TaskId(again.clone()) });
    world.settle();
    assert_eq!(outcome(&mut world, &again), Outcome::Done(bytes("")));
    assert_eq!(outcome(&mut world, &late), refused(Reason::TaskEnded));
    assert_eq!(outcome(&mut world, &nobody), refused(Reason::NoSuchTask));
}

#[test]
fn the_end_of_a_task_is_kept_with_its_last_words() {
    let mut world = World::attached();
    let task = TaskId(world.call("a", start()));
    world.settle();
    for number in 0..LOG_LINES_MAX + 5 {
        world.worker.core.handle_log(&task, &format!("line {number}"));
    }
    world.pass(7 * SECOND);
    let fell = Reason::Panicked("over".to_owned());
    world.end(&task, TaskEnd::Aborted(fell.clone()));
    world.pass(3 * SECOND);
    let TaskDetails { state, running_ms, ended_ms_ago, end, log, class: of, .. } = details(&world, &task);
    assert_eq!((state, running_ms, ended_ms_ago, of), (TaskState::Failed, 7_000, Some(3_000), class()));
    assert_eq!(end, Some(EndSummary::Aborted(fell)));
    assert_eq!((log.len(), log[0].as_str()), (LOG_LINES_MAX, "line 5"));
    assert_eq!(world.worker.core.ended_tasks(world.now).count(), 1);
    world.restart_worker();
    assert_eq!(world.worker.core.task_details(world.now, &task), None, "it was of another boot");
}

#[test]
fn an_owner_tells_each_start_and_each_end_once() {
    let mut world = World::attached();
    let [kept, ended] = [(); 2].map(|()| TaskId(world.call("a", start())));
    world.settle();
    world.end(&ended, TaskEnd::Done(bytes("")));
    // Its end is on its way when the link is lost, and comes again.
    world.cut_all();
    world.connect("a");
    world.pass(SECOND);
    let lives = &world.control("a").lives;
    assert_eq!(lives.started.values().copied().collect::<Vec<_>>(), [1, 1]);
    assert_eq!(lives.ended.get(&ended), Some(&EndSummary::Done));
    assert_eq!(lives.ended.len(), 1);
    // A repeat of a start whose task has come and gone is no other start.
    let repeat = world.proxy_call(ended.0.clone(), start(), 30 * SECOND);
    world.enter("a", repeat);
    world.settle();
    assert_eq!(world.control("a").lives.started[&ended], 1);
    // The next owner learns of what runs, and tells it for itself.
    world.set_acting("b");
    world.pass(60 * SECOND);
    assert!(world.hosts("b"));
    assert_eq!(world.control("b").lives.started.keys().collect::<Vec<_>>(), [&kept]);
    // A new boot of the worker has none of them.
    world.restart_worker();
    world.connect("b");
    world.pass(SECOND);
    assert_eq!(world.control("b").lives.ended.get(&kept), Some(&EndSummary::Lost));
    assert_eq!(world.control("b").lives.started[&kept], 1);
    assert_eq!(world.control("a").lives.ended.len(), 1, "it is not the owner");
}

#[test]
fn a_start_whose_answer_was_lost_is_told_by_the_snapshot() {
    let mut world = World::new(Role::Worker, Config::default());
    world.connect("a");
    world.settle();
    let task = TaskId(world.call("a", start_attempt(3)));
    while !world.worker.tasks.contains(&task) {
        let (link, to, lane) = world.waiting()[0];
        world.deliver(link, to, lane);
    }
    world.cut_all();
    assert_eq!(world.control("a").lives.started.len(), 0);
    assert_eq!(outcome(&mut world, &task.0), Outcome::Unknown(Reason::LinkLost));
    world.connect("a");
    world.pass(SECOND);
    assert_eq!(world.control("a").lives.started.get(&task), Some(&1));
    // Repeated, the start is answered, and told no second time.
    let repeat = world.proxy_call(task.0.clone(), start_attempt(3), 30 * SECOND);
    world.enter("a", repeat);
    world.settle();
    assert_eq!(world.control("a").lives.started[&task], 1);
}
