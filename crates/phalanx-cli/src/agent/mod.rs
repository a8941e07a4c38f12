//! The agent: one node, run as a service.
//!
//! Everything that can fail for the user's sake fails before the node begins, so that a cluster does not see a member that
//! goes at once. The end is in order: a signal, or an operator, lets the node leave; a second signal ends it there and then.

mod jobs;
mod log;
mod node;
mod probe;
mod signals;
mod systemd;
#[cfg(feature = "process")]
mod user;

use std::time::Duration;

use phalanx_operator::{Operated, Server, Socket};
use tokio::time::timeout;

use crate::config::{Settings, likely_mistakes};
use crate::credential;
use crate::exit::{Exit, Failure};
use node::Node;
use probe::Probe;
use signals::Signals;

/// How long a node that serves nobody may take to leave.
const GIVE_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an agent ends.
enum Ending {
    /// A signal has come, or an operator has asked for it.
    Asked,
    /// The control nodes that were expected did not come.
    GaveUp(String),
    /// The node has ended by itself.
    Ended,
}

/// Runs a node until it is told to leave.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    log::start(&settings.log)?;
    let (credential, warning) = credential::load(&settings)?;
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for warning in warning.into_iter().chain(likely_mistakes(variables)) {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::listen()?;
    let socket = Socket::bind(&settings.socket).await.map_err(Failure::failed)?;
    let probe = match settings.probe {
        Some(address) => Some(Probe::bind(address).await?),
        None => None,
    };
    let node = Node::start(&settings, credential).await?;
    let operated = node.operated(&settings.cluster);
    tracing::info!(
        node = %node.boot(), listen = %node.local_addr(), socket = %settings.socket.display(), role = %settings.role,
        cluster = settings.cluster, "the node runs"
    );
    let server = Server::start(operated.clone(), Some(socket));
    let serving = probe.map(|probe| tokio::spawn(probe.serve(operated.clone())));
    let telling = tokio::spawn(systemd::tell(operated.clone()));

    let ending = tokio::select! {
        biased;
        () = signals.next() => Ending::Asked,
        () = server.leave_asked() => Ending::Asked,
        () = node.stopped() => Ending::Ended,
        words = gave_up(&operated) => Ending::GaveUp(words),
    };
    telling.abort();
    let result = end(&node, ending, &mut signals).await;
    if let Some(serving) = serving {
        serving.abort();
    }
    server.close().await;
    result
}

/// Returns when the node has given up waiting for others, with the reason.
async fn gave_up(node: &Operated) -> String {
    let mut watch = node.watch_readiness();
    while let Some(readiness) = watch.next().await {
        if readiness.gave_up {
            return readiness.explanation;
        }
        tracing::info!("{}", readiness.explanation);
    }
    // The node has stopped, which is another ending.
    std::future::pending().await
}

async fn end(node: &Node, ending: Ending, signals: &mut Signals) -> Result<(), Failure> {
    match ending {
        Ending::Asked => {
            systemd::stopping("leaving the cluster");
            tracing::info!("the node leaves its cluster; a second signal ends it at once");
            tokio::select! {
                biased;
                () = signals.next() => Err(Failure::failed("ended at once: the cluster sees a crash")),
                () = node.shutdown() => Ok(()),
            }
        }
        Ending::GaveUp(words) => {
            systemd::stopping(&words);
            // Nobody is served, so that nobody waits for what is cut off here.
            let _ = timeout(GIVE_UP_TIMEOUT, node.shutdown()).await;
            Err(Failure::new(Exit::Unreachable, words))
        }
        Ending::Ended => {
            let reason = node.reason().await;
            systemd::stopping(reason);
            Err(Failure::failed(reason))
        }
    }
}
