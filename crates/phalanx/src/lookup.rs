//! One round of discovery: every strategy is asked, and one that fails takes nothing from what the others find.

use std::net::SocketAddr;
use std::time::Duration;

use phalanx_discovery::{Discover, DynDiscover, Resolver};

/// How often discovery is asked once a node is connected.
pub(crate) const REFRESH_WHEN_CONNECTED: Duration = Duration::from_secs(30);

/// What a round has found, and when the next one is due while the node is alone.
pub(crate) struct Found {
    pub(crate) sockets: Vec<SocketAddr>,
    pub(crate) refresh: Duration,
}

/// Asks every strategy.
pub(crate) async fn look_up(
    strategies: impl AsRef<[DynDiscover]>,
    resolver: impl AsRef<dyn Resolver>,
) -> Found {
    let mut found = Found { sockets: Vec::new(), refresh: REFRESH_WHEN_CONNECTED };
    for strategy in strategies.as_ref() {
        found.refresh = found.refresh.min(strategy.refresh_interval());
        match strategy.find(resolver.as_ref()).await {
            Ok(candidates) => found.sockets.extend(candidates.iter().map(|candidate| candidate.socket)),
            Err(error) => tracing::warn!(%error, "discovery failed: what it found before stays"),
        }
    }
    found
}
