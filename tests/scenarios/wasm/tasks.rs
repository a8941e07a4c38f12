//! A guest as a task: it tells events, is told commands, counts in its data, and ends when it is told to.

use std::time::Duration;

use bytes::Bytes;
use phalanx::{CallError, EventContext, EventHandler, NodeId, Reason, TaskError, TaskId};
use phalanx_drivers::wasm::{Entry, Wasm, WasmClient, WasmError, WasmLimits, WasmPolicy};
use tests::{Cluster, soon};
use tokio::sync::watch;

use super::guests::{add_worker, endless, policy, signer, source};

/// Tells its input as an event. Then it answers each command with itself, tells it as an event, and counts it in its data, until
/// it is told to stop, and returns the count; the command `x` is let go of, and after `q` it fails.
const ECHO: &str = r#"
    (data (i32.const 16) "count")
    (data (i32.const 32) "told to quit")
    (func $count (result i32)
        (drop (call $kv_read (i32.const 16) (i32.const 5) (i32.const 64) (i32.const 1)))
        (i32.store8 (i32.const 64) (i32.add (i32.load8_u (i32.const 64)) (i32.const 1)))
        (call $kv_write (i32.const 16) (i32.const 5) (i32.const 64) (i32.const 1)))
    (func (export "run") (param i32 i32) (result i64) (local $length i32)
        (call $log (i32.const 2) (local.get 0) (local.get 1))
        (drop (call $emit (local.get 0) (local.get 1)))
        (loop $next
            (local.set $length (call $command_wait (i32.const 60000)))
            (if (i32.eq (local.get $length) (i32.const -5))
                (then (return (i64.const 0x0000_0040_0000_0001))))
            (br_if $next (i32.lt_s (local.get $length) (i32.const 0)))
            (drop (call $command_read (i32.const 2048) (i32.const 4096)))
            (br_if $next (i32.eq (i32.load8_u (i32.const 2048)) (i32.const 120)))
            (if (i32.eq (i32.load8_u (i32.const 2048)) (i32.const 113))
                (then (call $fail (i32.const 32) (i32.const 12))))
            (drop (call $count))
            (drop (call $emit (i32.const 2048) (local.get $length)))
            (drop (call $command_reply (i32.const 2048) (local.get $length)))
            (br $next))
        unreachable)"#;

const IMPORTS: &str = r#"
    (import "phalanx" "log" (func $log (param i32 i32 i32)))
    (import "phalanx" "fail" (func $fail (param i32 i32)))
    (import "phalanx" "emit" (func $emit (param i32 i32) (result i32)))
    (import "phalanx" "command_wait" (func $command_wait (param i32) (result i32)))
    (import "phalanx" "command_read" (func $command_read (param i32 i32) (result i32)))
    (import "phalanx" "command_reply" (func $command_reply (param i32 i32) (result i32)))
    (import "phalanx" "kv_read" (func $kv_read (param i32 i32 i32 i32) (result i32)))
    (import "phalanx" "kv_write" (func $kv_write (param i32 i32 i32 i32) (result i32)))"#;

/// Writes down what guests tell.
#[derive(Clone, Default)]
struct Listener(watch::Sender<Vec<(TaskId, Bytes)>>);

impl EventHandler<Wasm> for Listener {
    type State = ();

    async fn event(&self, cx: &EventContext, (): &mut (), event: Bytes) {
        self.0.send_modify(|all| all.push((cx.task.clone(), event)));
    }
}

impl Listener {
    async fn wait(&self, task: &TaskId, expected: &[&str]) {
        let mut changes = self.0.subscribe();
        let has_all = |all: &Vec<(TaskId, Bytes)>| {
            all.iter().filter(|(of, _)| of == task).map(|(_, event)| event).eq(expected.iter())
        };
        soon("the events come", changes.wait_for(has_all)).await.unwrap();
    }
}

async fn stage(name: &str, policy: &WasmPolicy) -> (Cluster, Listener, WasmClient) {
    let mut cluster = Cluster::start(&[], &[]).await;
    let listener = Listener::default();
    let control = cluster.control_builder(&format!("{name}-c")).events::<Wasm>(listener.clone());
    cluster.adopt_control(control.start().await.unwrap());
    cluster.control_nodes_formed().await;
    let worker = format!("{name}-w");
    add_worker(&mut cluster, &worker, policy).await;
    let control = cluster.controls().next().unwrap();
    let client = WasmClient::new(control.worker(NodeId::new(&worker).unwrap()));
    (cluster, listener, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_tells_events_and_answers_commands_until_it_is_stopped() {
    let (cluster, listener, client) = stage("wt", &policy(None)).await;
    let module = signer().sign("echo", "1", source(IMPORTS, ECHO)).unwrap();
    soon("it is pushed", client.push(&module)).await.unwrap();
    let run = || Entry::new("echo", "run");
    let task = client.start(run(), "begin").await.unwrap();
    for command in ["one", "two", "three"] {
        assert_eq!(soon("it answers", task.command(command)).await.unwrap(), command);
    }
    let long = "a".repeat(4_000);
    assert_eq!(soon("it answers", task.command(long.clone())).await.unwrap(), long);
    // One that it lets go of ends for its caller with the next wait.
    assert_eq!(soon("it is let go of", task.command("x")).await, Err(CallError::Aborted(Reason::NoReply)));
    listener.wait(task.id(), &["begin", "one", "two", "three", &long]).await;
    assert_eq!(client.list().await.unwrap()[0].versions[0].running, 1);
    task.stop(Duration::from_secs(20)).await.unwrap();
    let returned = soon("it ends by itself", task.output()).await.unwrap();
    assert_eq!((&returned.output[..], returned.version.as_str()), (&[4][..], "1"));

    // The data outlives the task. Another one fails by itself.
    let task = client.start(run(), "").await.unwrap();
    assert_eq!(soon("it answers", task.command("five")).await.unwrap(), "five");
    let quit = tokio::join!(task.command("q"), task.output());
    assert_eq!(quit.1, Err(TaskError::Failed(WasmError::Failed(Bytes::from_static(b"told to quit")))));
    assert!(matches!(quit.0, Err(CallError::Aborted(_) | CallError::NotExecuted(_))), "{:?}", quit.0);
    // As a request there are no commands: it would wait for nothing, and traps where it does not expect that.
    assert!(matches!(client.call(run(), "").await, Err(CallError::Failed(_))));
    let none = client.start(Entry::new("echo", "walk"), "").await.unwrap();
    assert_eq!(none.output().await, Err(TaskError::Failed(WasmError::NoSuchFunction)));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_computes_has_its_turn_and_no_more() {
    let limits =
        WasmLimits { fuel_max: u64::MAX, turn_time: Duration::from_millis(200), ..WasmLimits::default() };
    let (cluster, _, client) = stage("wl", &policy(None).limits(limits)).await;
    soon("it is pushed", client.push(&endless())).await.unwrap();
    let task = client.start(Entry::new("endless", "run"), "").await.unwrap();
    let end = soon("its turn is over", task.output()).await;
    assert_eq!(end, Err(TaskError::Failed(WasmError::TimedOut { time_ms: 200 })));
    cluster.shutdown().await;
}

/// Turns of an hour: how long the guest's own turns take is the machine's.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_has_its_time_and_no_more() {
    let limits = WasmLimits {
        turn_time: Duration::from_secs(3_600),
        task_time: Duration::from_secs(1),
        ..WasmLimits::default()
    };
    let (cluster, _, client) = stage("wm", &policy(None).limits(limits)).await;
    let module = signer().sign("echo", "1", source(IMPORTS, ECHO)).unwrap();
    soon("it is pushed", client.push(&module)).await.unwrap();
    let task = client.start(Entry::new("echo", "run"), "").await.unwrap();
    let end = soon("its time is over", task.output()).await;
    assert_eq!(end, Err(TaskError::Failed(WasmError::TimedOut { time_ms: 1_000 })));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_a_place_ends_at_once() {
    let limits = WasmLimits { turn_time: Duration::from_secs(3_600), tasks_max: 1, ..WasmLimits::default() };
    let (cluster, _, client) = stage("wp", &policy(None).limits(limits)).await;
    let module = signer().sign("echo", "1", source(IMPORTS, ECHO)).unwrap();
    soon("it is pushed", client.push(&module)).await.unwrap();
    let task = client.start(Entry::new("echo", "run"), "").await.unwrap();
    // Two that have started race for the place: only one that answers has it.
    assert_eq!(soon("it answers", task.command("one")).await.unwrap(), "one");
    let other = client.start(Entry::new("echo", "run"), "").await.unwrap();
    let end = soon("there is no place", other.output()).await;
    assert_eq!(end, Err(TaskError::Failed(WasmError::Busy { running_max: 1 })));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_does_not_stop_is_dropped_and_its_guest_with_it() {
    let limits =
        WasmLimits { fuel_max: u64::MAX, turn_time: Duration::from_secs(3_600), ..WasmLimits::default() };
    let (cluster, _, client) = stage("wx", &policy(None).limits(limits)).await;
    soon("it is pushed", client.push(&endless())).await.unwrap();
    let task = client.start(Entry::new("endless", "run"), "").await.unwrap();
    task.stop(Duration::from_millis(100)).await.unwrap();
    assert_eq!(soon("it is ended", task.output()).await, Err(TaskError::Stopped));
    tests::until("its guest ends", async || client.list().await.unwrap()[0].versions[0].running == 0).await;
    cluster.shutdown().await;
}
