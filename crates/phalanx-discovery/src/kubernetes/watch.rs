//! Watches: waiting until the candidates are others than before, whatever the server does meanwhile.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Kubernetes;
use super::api::Api;
use super::error::ApiError;
use super::list::Listed;
use super::objects::WatchEvent;
use crate::http::{Backoff, Lines, quoted};
use crate::{Attempt, DiscoverContext};

/// What a line of the log says.
const SERVER: &str = "Kubernetes";

/// How long the server is asked to keep a watch: less than the 350 s after which load balancers forget a connection.
const WATCH_S: &str = "290";

/// After how long a watch is given up that the server has not ended by then.
const WATCH_TIME_MAX: Duration = Duration::from_secs(300);

/// A watch that has lived for so long was no failure, however it ends.
const WATCH_HEALTHY: Duration = Duration::from_secs(10);

/// The longest line: an object has up to 1.5 MiB in etcd.
const LINE_BYTES_MAX: usize = 2 << 20;

/// How long to wait after a change: others mostly follow, and whoever writes all the time costs no more than this.
const CHANGE_PAUSE: Duration = Duration::from_millis(250);

/// Returns when the candidates are others than those that were last seen.
pub(super) async fn changed(strategy: &Kubernetes, context: &DiscoverContext) {
    let mut backoff = Backoff::default();
    let mut listed = None;
    loop {
        let error = match watch(strategy, context, &mut listed, &mut backoff).await {
            Ok(true) => {
                strategy.outage.is_over(SERVER);
                return sleep(CHANGE_PAUSE).await;
            }
            Ok(false) => None,
            Err(error) => Some(error),
        };
        match &error {
            // A version that was forgotten is the way of a busy API.
            None | Some(ApiError::Gone) => debug!("a watch of Kubernetes begins anew"),
            Some(error) => strategy.outage.failed(SERVER, error),
        }
        // After a cut the watch goes on where it was; after anything else only a list says what is true, also where
        // listing is allowed and watching is not.
        if !matches!(error, None | Some(ApiError::Unreachable { .. } | ApiError::Busy { .. })) {
            listed = None;
        }
        let asked = error.as_ref().and_then(ApiError::asked);
        sleep(backoff.pause(context.entropy.as_ref(), asked)).await;
    }
}

/// Lists if need be, then watches until the candidates have changed or the watch ends.
async fn watch(
    strategy: &Kubernetes,
    context: &DiscoverContext,
    listed: &mut Option<Listed>,
    backoff: &mut Backoff,
) -> Result<bool, ApiError> {
    let api = Api::open(strategy, context)?;
    let listed = match listed {
        Some(listed) => listed,
        None => {
            let listed = listed.insert(api.list(context).await?);
            if strategy.is_new(&listed.candidates()) {
                return Ok(true);
            }
            listed
        }
    };
    let lines = api.watch(context, &listed.version).await?;
    let watched = timeout(WATCH_TIME_MAX, follow(&api, lines, listed, backoff)).await;
    watched.unwrap_or(Ok(false))
}

/// Takes in what the watch says until the candidates have changed.
async fn follow(
    api: &Api<'_>,
    mut lines: Lines,
    listed: &mut Listed,
    backoff: &mut Backoff,
) -> Result<bool, ApiError> {
    let mut healthy = pin!(sleep(WATCH_HEALTHY));
    let mut is_healthy = false;
    loop {
        let line = tokio::select! {
            biased;
            () = &mut healthy, if !is_healthy => {
                is_healthy = true;
                backoff.reset();
                api.strategy.outage.is_over(SERVER);
                continue;
            }
            line = lines.next() => line.map_err(|error| ApiError::transfer(&api.server, error))?,
        };
        let Some(line) = line else { return Ok(false) };
        let event = api.strategy.resource.event(&line, &api.strategy.choice);
        let garbled = |reason: String| ApiError::Garbled { server: api.server.clone(), reason };
        let version = match event.map_err(|error| garbled(error.to_string()))? {
            WatchEvent::Bookmark(version) => version,
            WatchEvent::Failed(410, _) => return Err(ApiError::Gone),
            WatchEvent::Failed(status @ (429 | 503 | 504), message) => {
                return Err(ApiError::Busy { status, asked: None, message: quoted(&message) });
            }
            WatchEvent::Failed(status, message) => {
                return Err(ApiError::Status { status, message: quoted(&message) });
            }
            WatchEvent::Present(item, version) => {
                listed.put(item.name, item.endpoints);
                version
            }
            WatchEvent::Absent(name, version) => {
                listed.remove(&name);
                version
            }
        };
        if !version.is_empty() {
            listed.version = version;
        }
        if api.strategy.is_new(&listed.candidates()) {
            return Ok(true);
        }
    }
}

impl Api<'_> {
    /// Begins a watch after a version, noted as an attempt.
    async fn watch(&self, context: &DiscoverContext, version: &str) -> Result<Lines, ApiError> {
        let query = [
            ("watch", "1"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", WATCH_S),
        ];
        let answer = self.get("watch", &query).await;
        context.tried(|| Attempt {
            kind: self.strategy.resource.as_str(),
            name: format!("{}&watch=1", self.name()),
            outcome: answer.as_ref().map(|_| Vec::new()).map_err(ToString::to_string),
        });
        answer.map(|response| Lines::new(response, LINE_BYTES_MAX))
    }
}
