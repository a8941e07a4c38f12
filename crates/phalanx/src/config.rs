//! One configuration that nests each crate's own.

/// The timing and the caps of a node. The defaults suit a LAN; see each part for what it means.
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
