//! The job class that is measured: a request that comes back, and two kinds of task.

use bytes::Bytes;
use phalanx::{JobClass, JobHandler, Nothing, RequestContext, TaskContext};
use serde::{Deserialize, Serialize};

/// The contract.
pub(super) struct Load;

/// What a task does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    /// Takes transfers until it is told to stop.
    Take,
    /// Tells this number, and waits until it is told to stop.
    Tell(u64),
}

impl JobClass for Load {
    const NAME: &'static str = "load";
    const VERSION: u32 = 1;
    type Request = Bytes;
    type Reply = Bytes;
    type Task = Work;
    type Output = ();
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = u64;
    type Error = String;
}

/// The worker's half.
pub(super) struct Loader;

impl JobHandler<Load> for Loader {
    async fn request(&self, _: RequestContext, payload: Bytes) -> Result<Bytes, String> {
        Ok(payload)
    }

    async fn task(&self, cx: TaskContext<Load>, work: Work) -> Result<(), String> {
        match work {
            Work::Take => {
                while let Some(mut transfer) = cx.transfer().await {
                    while let Some(chunk) = transfer.next().await {
                        chunk.map_err(|error| error.to_string())?;
                    }
                }
            }
            Work::Tell(number) => {
                cx.emit(number).await.map_err(|error| error.to_string())?;
                // The first signal is the order to stop: nobody sends commands.
                cx.recv().await;
            }
        }
        Ok(())
    }
}
