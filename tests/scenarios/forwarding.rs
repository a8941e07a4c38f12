//! Any control node serves any call: where it does not host the worker's proxy, it asks the one that does.

use futures_util::future::join_all;
use phalanx::{CallError, Control, NodeId, Reason, Worker};
use tests::{Answer, Ask, Probe, shared, soon};

fn names() -> (Vec<NodeId>, Vec<NodeId>) {
    let controls: Vec<NodeId> = shared().controls().map(Control::id).cloned().collect();
    // Control nodes work too, under their own names.
    let workers = shared().workers().map(Worker::id).cloned().chain(controls.clone()).collect();
    (controls, workers)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_control_node_asks_any_worker() {
    let (controls, workers) = names();
    assert_eq!((controls.len(), workers.len()), (3, 7));
    for control in &controls {
        for worker in &workers {
            let number = shared().ledger.number();
            let ask = Ask::Echo(number, format!("{control} asks"));
            let answer = shared().through(control.as_str(), worker.as_str()).request::<Probe>(ask).await;
            assert_eq!(answer, Ok(Answer { worker: worker.clone(), text: format!("{control} asks") }));
            assert_eq!(shared().ledger.begun(number), 1);
        }
        let nobody =
            shared().through(control.as_str(), "nobody").request::<Probe>(Ask::Fail("no".into())).await;
        assert_eq!(nobody, Err(CallError::NotExecuted(Reason::NotFound)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_each_get_their_own_answer() {
    let (controls, workers) = names();
    // A linear congruential generator (Knuth, MMIX): any spread will do, and this one needs no seed from outside.
    let mut random = 20_260_101_u64;
    let mut draw = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    let calls = (0..200).map(|_| {
        let (control, worker) = (&controls[draw(controls.len())], &workers[draw(workers.len())]);
        let number = shared().ledger.number();
        let handle = shared().through(control.as_str(), worker.as_str());
        async move {
            let answer = handle.request::<Probe>(Ask::Echo(number, format!("call {number}"))).await;
            assert_eq!(answer, Ok(Answer { worker: worker.clone(), text: format!("call {number}") }));
            assert_eq!(shared().ledger.begun(number), 1);
        }
    });
    soon("all calls are answered", join_all(calls)).await;
}
