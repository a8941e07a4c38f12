//! Watches: waiting until the records are others than before.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Etcd;
use super::error::AskError;
use super::gateway::Gateway;
use super::key::Range;
use super::messages::{WatchLine, watch_line};
use crate::DiscoverContext;
use crate::http::{Backoff, Lines};

/// What a line of the log says.
const SERVER: &str = "etcd";

/// After how long a watch is begun anew, in case that the member behind it has gone without a word.
const WATCH_TIME_MAX: Duration = Duration::from_secs(300);

/// A watch that has lived for so long was no failure, however it ends.
const WATCH_HEALTHY: Duration = Duration::from_secs(10);

/// How long to wait after a change: others mostly follow, and whoever writes all the time costs no more than this.
const CHANGE_PAUSE: Duration = Duration::from_millis(250);

/// Returns when the records are others than those that were last seen.
pub(super) async fn changed(etcd: &Etcd, context: &DiscoverContext) {
    let mut backoff = Backoff::default();
    loop {
        match watch(etcd, context, &mut backoff).await {
            Ok(true) => return etcd.outage.is_over(SERVER),
            Ok(false) => debug!("a watch of etcd begins anew"),
            Err(error) => etcd.outage.failed(SERVER, &error),
        }
        sleep(backoff.pause(context.entropy.as_ref(), None)).await;
    }
}

/// Watches until the records have changed or the watch ends. It begins with a look, so that nothing is missed whatever
/// happened before.
async fn watch(etcd: &Etcd, context: &DiscoverContext, backoff: &mut Backoff) -> Result<bool, AskError> {
    let (addresses, revision) = etcd.records(context).await?;
    if etcd.is_new(context, &addresses) {
        sleep(CHANGE_PAUSE).await;
        return Ok(true);
    }
    let cluster = context.cluster.as_ref().map(|cluster| cluster.id.as_str());
    let range = Range::of(&etcd.prefix, cluster);
    let lines = Gateway::open(etcd, context)?.watch(&range, revision).await?;
    let watched = timeout(WATCH_TIME_MAX, follow(etcd, context, lines, backoff)).await;
    watched.unwrap_or(Ok(false))
}

/// Reads what the watch says until the records have changed.
async fn follow(
    etcd: &Etcd,
    context: &DiscoverContext,
    mut lines: Lines,
    backoff: &mut Backoff,
) -> Result<bool, AskError> {
    let mut healthy = pin!(sleep(WATCH_HEALTHY));
    let mut is_healthy = false;
    loop {
        let line = tokio::select! {
            biased;
            () = &mut healthy, if !is_healthy => {
                is_healthy = true;
                backoff.reset();
                etcd.outage.is_over(SERVER);
                continue;
            }
            line = lines.next() => line.map_err(|error| AskError::Unreachable(error.to_string()))?,
        };
        let Some(line) = line else { return Ok(false) };
        match watch_line(&line).map_err(AskError::Unreachable)? {
            WatchLine::Quiet => {}
            WatchLine::Ended(reason) => {
                return Err(AskError::Unreachable(format!("the watch ended: {reason}")));
            }
            WatchLine::Changed => {
                sleep(CHANGE_PAUSE).await;
                if etcd.is_new(context, &etcd.records(context).await?.0) {
                    return Ok(true);
                }
            }
        }
    }
}
