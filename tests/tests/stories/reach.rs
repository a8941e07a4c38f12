//! A worker and the control node that should host it, which do not reach each other though both live.

use std::time::Duration;

use tests::{Question, Story, until, within};

use crate::{Blow, Stage, WORKER};

/// Whom placement names for the worker, by their names alone.
const OWNER: &str = "control-2";

/// A handover that is called off is tried again after forty seconds.
const GIVEN_BACK: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn another_control_node_stands_in_for_one_that_a_worker_cannot_reach_and_gives_it_back() {
    let mut stage = Stage::start(&[WORKER]).await;
    let is_home = async |stage: &Stage| stage.owner(WORKER).await.0 == OWNER;
    until("it is where placement wants it", async || is_home(&stage).await).await;
    let worker = stage.worker(WORKER).await;
    stage.strike(WORKER, Blow::LinkCut).await;
    for round in 0..3 {
        assert_eq!(worker.request::<Story>(Question::Add(2, 40 + round)).await, Ok(42 + round));
    }
    stage.mend().await;
    let given_back = async {
        while !is_home(&stage).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    within(GIVEN_BACK, "it is given back", given_back).await;
    assert_eq!(worker.request::<Story>(Question::Add(20, 22)).await, Ok(42));
}
