//! Calls from a control node's door to the worker's handler and back: once, or with an honest word.

mod common;

use std::time::Duration;

use common::{World, bytes, class, command, output, request, start, start_with};
use phalanx_base::{Generation, Lane, Role};
use phalanx_jobs::wire::{CallId, ClassName, CommandStream, Message, OnDisconnect, TaskId, Verb};
use phalanx_jobs::{COMMANDS_MAX, Cap, Config, DISCONNECT_GRACE, Outcome, Reason, TaskEnd};

const SECOND: Duration = Duration::from_secs(1);

fn refused(reason: Reason) -> Outcome {
    Outcome::NotExecuted(reason)
}

/// Attached to a, with a task that runs.
fn with_task() -> (World, TaskId) {
    let mut world = World::attached();
    let task = TaskId(world.call("a", start()));
    world.settle();
    assert_eq!(world.control("a").outcomes(&task.0), [&Outcome::Done(bytes(""))]);
    (world, task)
}

/// The one outcome of a call.
fn outcome(world: &mut World, id: &CallId) -> Outcome {
    let outcomes = world.control("a").outcomes(id);
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes[0].clone()
}

#[test]
fn a_request_runs_and_is_answered() {
    let mut world = World::attached();
    let id = world.call("a", request());
    world.settle();
    assert!(world.worker.requests.contains(&id));
    world.answer(&id);
    world.settle();
    assert_eq!(outcome(&mut world, &id), Outcome::Done(bytes(&id.to_string())));
}

#[test]
fn a_lost_link_answers_each_call_once_and_a_repeat_does_not_run_again() {
    let mut world = World::attached();
    let [sent, lost] = [world.call("a", request()), world.call("a", request())];
    let link = world.links_of("a")[0];
    assert!(world.deliver(link, common::To::Worker, Lane::Request));
    world.cut(link, true, true);
    for id in [&sent, &lost] {
        assert_eq!(outcome(&mut world, id), Outcome::Unknown(Reason::LinkLost));
    }
    world.answer(&sent);
    world.connect("a");
    world.settle();
    for id in [&sent, &lost] {
        let call = world.proxy_call(id.clone(), request(), 30 * SECOND);
        world.enter("a", call);
    }
    world.settle();
    let done = Outcome::Done(bytes(&sent.to_string()));
    assert_eq!(world.control("a").outcomes(&sent), [&Outcome::Unknown(Reason::LinkLost), &done]);
    assert_eq!(
        world.worker.requests.iter().collect::<Vec<_>>(),
        [&lost],
        "the lost one has never run before"
    );
    world.answer(&lost);
    world.settle();
    assert_eq!(world.control("a").outcomes(&lost).len(), 2);
}

#[test]
fn the_answer_of_a_running_call_goes_where_its_repeat_came_from() {
    let mut world = World::attached();
    let id = world.call("a", request());
    world.settle();
    world.crash("a");
    world.set_acting("b");
    world.connect("b");
    world.settle();
    let call = world.proxy_call(id.clone(), request(), 30 * SECOND);
    world.enter("b", call);
    world.settle();
    world.answer(&id);
    world.settle();
    assert_eq!(world.control("b").outcomes(&id), [&Outcome::Done(bytes(&id.to_string()))]);
}

#[test]
fn another_boot_is_refused_at_both_doors() {
    let mut world = World::attached();
    world.restart_worker();
    world.connect("a");
    world.settle();
    let caller = world.control("a").boot.clone();
    let id = CallId { caller, sequence: 99 };
    let mut call = world.proxy_call(id.clone(), request(), 30 * SECOND);
    call.generation = Generation::from_u64(1);
    world.enter("a", call);
    assert_eq!(outcome(&mut world, &id), refused(Reason::OtherGeneration));
    // The worker looks too: a frame with the wrong stamp under the right fence.
    let late = world.call("a", request());
    let link = world.links_of("a")[0];
    let lanes = &mut world.wires.get_mut(&link).unwrap().lanes;
    let frame = &mut lanes.get_mut(&(common::To::Worker, Lane::Request)).unwrap()[0];
    let Ok(Message::Call(mut call)) = Message::from_frame(frame) else { panic!("{frame:?}") };
    call.generation = Generation::from_u64(1);
    *frame = Message::from(call).to_frame();
    world.settle();
    assert_eq!(outcome(&mut world, &late), refused(Reason::OtherGeneration));
}

#[test]
fn a_call_under_an_old_fence_does_not_run_and_one_accepted_before_is_answered() {
    let mut world = World::attached();
    let accepted = world.call("a", request());
    world.settle();
    let late = world.call("a", request());
    // b takes over before the second call arrives.
    world.jump(10 * SECOND);
    world.set_view("b", |view| {
        view.acting = Some("b");
        view.down.insert("a");
    });
    let link = world.connect("b");
    world.automatic = false;
    while world.deliver(link, common::To::Worker, Lane::Control) {}
    while world.deliver(link, common::To::Control, Lane::Control) {}
    world.jump(2 * SECOND);
    while world.deliver(link, common::To::Worker, Lane::Control) {}
    world.automatic = true;
    world.settle();
    assert_eq!(world.fence("b"), Some(2));
    assert_eq!(outcome(&mut world, &late), refused(Reason::Fenced));
    world.answer(&accepted);
    world.settle();
    assert_eq!(outcome(&mut world, &accepted), Outcome::Done(bytes(&accepted.to_string())));
}

#[test]
fn the_worker_ends_a_call_at_its_deadline() {
    let mut world = World::attached();
    let id = world.call_within("a", request(), SECOND);
    world.settle();
    world.pass(SECOND);
    assert_eq!(world.worker.cancelled, std::slice::from_ref(&id));
    assert_eq!(outcome(&mut world, &id), Outcome::Aborted(Reason::DeadlineExceeded));
    world.answer(&id);
    world.pass(SECOND);
    assert_eq!(outcome(&mut world, &id), Outcome::Aborted(Reason::DeadlineExceeded));
}

#[test]
fn the_owner_gives_a_call_up_when_the_worker_says_nothing() {
    let mut world = World::attached();
    let id = world.call_within("a", request(), SECOND);
    world.jump(SECOND);
    assert_eq!(world.control("a").outcomes(&id).len(), 0, "the worker's own word is waited for");
    world.jump(SECOND / 2);
    assert_eq!(outcome(&mut world, &id), Outcome::Unknown(Reason::DeadlineExceeded));
}

#[test]
fn a_caller_that_goes_away_ends_its_call() {
    let mut world = World::attached();
    let id = world.call("a", request());
    world.settle();
    world.cancel("a", &id);
    world.settle();
    assert_eq!(world.worker.cancelled, std::slice::from_ref(&id));
    assert_eq!(outcome(&mut world, &id), Outcome::Aborted(Reason::Cancelled));
    world.cancel("a", &id);
    world.settle();
    assert_eq!(world.worker.cancelled.len(), 1);
}

#[test]
fn classes_and_versions_are_checked_by_name() {
    let mut world = World::attached();
    let asked = |name: &str, version| Verb::Request {
        class: ClassName { name: name.to_owned().into(), version },
        body: bytes(""),
    };
    let unknown = world.call("a", asked("other", 1));
    let newer = world.call("a", asked("work", 2));
    world.settle();
    assert_eq!(outcome(&mut world, &unknown), refused(Reason::NoSuchClass));
    assert_eq!(outcome(&mut world, &newer), refused(Reason::OtherVersion { ours: 2, theirs: 1 }));
}

#[test]
fn more_requests_than_may_run_are_refused() {
    let config = Config { running_requests_max: 2, tasks_max: 1, ..Config::default() };
    let mut world = World::new(Role::Worker, config);
    world.connect("a");
    world.settle();
    let requests = [(); 3].map(|()| world.call("a", request()));
    let tasks = [(); 2].map(|()| world.call("a", start()));
    let waits = world.call("a", output(&TaskId(tasks[0].clone())));
    world.settle();
    assert_eq!(outcome(&mut world, &requests[2]), refused(Reason::Busy(Cap::RunningRequests)));
    assert_eq!(outcome(&mut world, &tasks[1]), refused(Reason::Busy(Cap::Tasks)));
    world.answer(&requests[0]);
    let next = world.call("a", request());
    world.settle();
    assert!(
        world.worker.requests.contains(&next),
        "one that waits for a task's end takes no request's place"
    );
    assert_eq!(world.control("a").outcomes(&waits).len(), 0);
}

#[test]
fn commands_come_in_order() {
    let (mut world, task) = with_task();
    let caller = world.control("a").boot.clone();
    let streams = [1_000, 1_001].map(|sequence| CommandStream(CallId { caller: caller.clone(), sequence }));
    let first = world.call("a", command(&task, &streams[0], 0));
    let hasty = world.call("a", command(&task, &streams[0], 2));
    let second = world.call("a", command(&task, &streams[0], 1));
    let other = world.call("a", command(&task, &streams[1], 0));
    world.settle();
    let arrived: Vec<&CallId> = world.worker.commands.iter().map(|(_, call, _)| call).collect();
    assert_eq!(arrived, [&first, &second, &other]);
    assert_eq!(outcome(&mut world, &hasty), refused(Reason::CommandOutOfOrder));
    world.answer(&first);
    world.end(&task, TaskEnd::Stopped);
    world.settle();
    assert_eq!(outcome(&mut world, &first), Outcome::Done(bytes(&first.to_string())));
    assert_eq!(outcome(&mut world, &second), Outcome::Aborted(Reason::TaskEnded));
    let late = world.call("a", command(&task, &streams[0], 2));
    world.settle();
    assert_eq!(outcome(&mut world, &late), refused(Reason::TaskEnded));
}

#[test]
fn a_task_that_does_not_listen_collects_a_bounded_number_of_commands() {
    let (mut world, task) = with_task();
    let stream = CommandStream(task.0.clone());
    let calls: Vec<CallId> =
        (0..=COMMANDS_MAX as u64).map(|at| world.call("a", command(&task, &stream, at))).collect();
    world.settle();
    assert_eq!(world.worker.commands.len(), COMMANDS_MAX);
    assert_eq!(outcome(&mut world, calls.last().unwrap()), refused(Reason::Busy(Cap::Commands)));
}

#[test]
fn whoever_waits_for_a_task_learns_its_end_early_or_late() {
    let (mut world, task) = with_task();
    let early = world.call("a", output(&task));
    let impatient = world.call_within("a", output(&task), SECOND);
    world.pass(2 * SECOND);
    assert_eq!(outcome(&mut world, &impatient), Outcome::Aborted(Reason::DeadlineExceeded));
    world.end(&task, TaskEnd::Done(bytes("42")));
    world.settle();
    let late = world.call("a", output(&task));
    let nobody = world.call("a", output(&TaskId(late.clone())));
    world.settle();
    let end = Outcome::Done(postcard::to_stdvec(&TaskEnd::Done(bytes("42"))).unwrap().into());
    assert_eq!(outcome(&mut world, &early), end);
    assert_eq!(outcome(&mut world, &late), end);
    assert_eq!(outcome(&mut world, &nobody), refused(Reason::NoSuchTask));
}

#[test]
fn a_task_is_told_to_stop_and_ended_when_it_does_not() {
    let (mut world, task) = with_task();
    let at = world.now + 3 * SECOND;
    let stop = world.call("a", Verb::Stop { task: task.clone(), grace_ms: 3_000 });
    world.settle();
    assert_eq!(outcome(&mut world, &stop), Outcome::Done(bytes("")));
    assert_eq!(world.worker.stopping, [(task.clone(), at)]);
    world.pass(3 * SECOND);
    assert_eq!(world.worker.aborted, std::slice::from_ref(&task));
    assert_eq!(world.worker.core.running_tasks(), 0);
    assert_eq!(world.history.handled(world.worker.boot.generation, &task), [1], "its end is an event");
    let again = world.call("a", Verb::Stop { task, grace_ms: 0 });
    world.settle();
    assert_eq!(outcome(&mut world, &again), Outcome::Done(bytes("")));
}

#[test]
fn a_start_that_is_repeated_starts_one_task() {
    let (mut world, task) = with_task();
    for _ in 0..2 {
        let call = world.proxy_call(task.0.clone(), start(), 30 * SECOND);
        world.enter("a", call);
        world.settle();
    }
    assert_eq!(world.worker.tasks.len(), 1);
    assert_eq!(world.control("a").outcomes(&task.0).len(), 3);
}

#[test]
fn a_task_outlives_its_owner_only_as_long_as_it_was_told() {
    let mut world = World::attached();
    let kept = TaskId(world.call("a", start()));
    let bound = TaskId(world.call("a", start_with(OnDisconnect::StopAfter { milliseconds: 20_000 })));
    let endless = start_with(OnDisconnect::StopAfter { milliseconds: u64::MAX });
    world.call("a", endless);
    world.settle();
    // A graceful move and a short loss are no reason to stop.
    world.set_acting("b");
    world.pass(60 * SECOND);
    assert!(world.hosts("b"));
    world.cut_all();
    world.pass(19 * SECOND);
    world.connect("b");
    world.pass(60 * SECOND);
    assert_eq!((world.worker.stopping.len(), world.worker.aborted.len()), (0, 0));
    world.cut_all();
    world.pass(20 * SECOND);
    let at = world.now + DISCONNECT_GRACE;
    assert_eq!(world.worker.stopping, [(bound.clone(), at)], "it is told, and gets time to end");
    assert_eq!(world.worker.aborted, []);
    world.pass(DISCONNECT_GRACE);
    assert_eq!(world.worker.aborted, [bound]);
    assert!(world.worker.tasks.contains(&kept) && world.worker.tasks.len() == 2);
}

#[test]
fn who_knows_no_such_worker_says_so() {
    let mut world = World::new(Role::Worker, Config::default());
    let id = world.call("a", Verb::Request { class: class(), body: bytes("") });
    assert_eq!(outcome(&mut world, &id), refused(Reason::NotHosted));
    world.connect("a");
    let early = world.call("a", request());
    assert_eq!(outcome(&mut world, &early), refused(Reason::NotHosted), "it is not attached yet");
}
