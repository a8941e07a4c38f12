//! The stories that every cluster for jobs must tell, over real processes: each one in peace, with the control node killed
//! that hosts the worker's proxy, and with the link between the two cut, all in its middle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod data;
mod node;
mod reach;
mod relay;
mod stage;
mod tasks;

use stage::{Blow, Stage};

const WORKER: &str = "worker-1";

/// Tells a story three times.
async fn tell(story: impl AsyncFn(&mut Stage, Blow)) {
    let mut stage = Stage::start(&[WORKER]).await;
    for blow in [Blow::None, Blow::ProxyKilled, Blow::LinkCut] {
        story(&mut stage, blow).await;
        stage.mend().await;
    }
}
