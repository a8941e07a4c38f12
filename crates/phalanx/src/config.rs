//! One configuration that nests each crate's own.

use std::time::Duration;

/// The timing and the caps of a node. The defaults suit a LAN; see each part for what it means.
///
/// All nodes of a cluster should have the same timing: one that waits less than the others takes them for dead too soon.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Links: time-outs and limits before the proof.
    pub endpoint: phalanx_transport::EndpointConfig,
    /// Who is alive among the control nodes.
    pub membership: phalanx_membership::Config,
    /// Sessions, and a worker's caps.
    pub jobs: phalanx_jobs::Config,
    /// How a worker looks for its owner.
    pub finder: phalanx_jobs::FinderConfig,
}

impl Config {
    /// For control nodes on one LAN, and workers anywhere: the default.
    #[must_use]
    pub fn lan() -> Self {
        Self::default()
    }

    /// For control nodes far from each other: membership's own preset, a keep-alive each 3 s, and 10 s for a dial.
    #[must_use]
    pub fn wan() -> Self {
        let mut config = Self { membership: phalanx_membership::Config::wan(), ..Self::default() };
        config.endpoint.keep_alive_interval = Duration::from_secs(3);
        config.endpoint.dial_timeout = Duration::from_secs(10);
        config
    }

    /// For nodes on one machine, as in development: membership's own preset, and workers that move after 2 s.
    #[must_use]
    pub fn local() -> Self {
        let mut config = Self { membership: phalanx_membership::Config::local(), ..Self::default() };
        config.jobs.settle = Duration::from_secs(2);
        config
    }
}
