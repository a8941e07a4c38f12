//! Waiting: for a condition, with a deadline, and with words for the case that it does not come.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::logs::Logs;

/// How long a scenario waits for anything: far longer than a loaded machine needs, so that it ends only what hangs.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// How often a condition is looked at that gives no notice of its changes.
const LOOK_INTERVAL: Duration = Duration::from_millis(15);

/// How many of the last log lines a failure shows.
const LINES_SHOWN: usize = 30;

/// Waits for some work to end.
///
/// # Panics
/// When it has not after [`DEADLINE`], with the last lines of the log.
pub fn soon<T>(what: &str, work: impl Future<Output = T>) -> impl Future<Output = T> {
    // No future around a future: each would hold the work once more.
    within(DEADLINE, what, work)
}

/// Waits for some work to end that is much by itself, for so long at most.
///
/// # Panics
/// As [`soon`].
pub async fn within<T>(deadline: Duration, what: &str, work: impl Future<Output = T>) -> T {
    match timeout(deadline, work).await {
        Ok(done) => done,
        Err(_) => {
            let lines = Logs::get().lines();
            let from = lines.len().saturating_sub(LINES_SHOWN);
            panic!("waited {deadline:?} for this: {what}; the last warnings:\n{}", lines[from..].join("\n"));
        }
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// As [`soon`].
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            sleep(LOOK_INTERVAL).await;
        }
    };
    soon(what, looking).await;
}

/// Tries something until it gives a value.
///
/// # Panics
/// As [`soon`].
pub async fn first<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let mut value = None;
    until(what, async || {
        value = attempt().await;
        value.is_some()
    })
    .await;
    value.expect("the wait ends with a value")
}
