//! The seam for proof outside of a link: what a control node publishes, others can check.

/// The length of a seal in bytes: a signature of Ed25519.
pub const SEAL_BYTES: usize = 64;

/// Seals what control nodes tell where there is no link yet, such as a beacon: whoever holds a credential of the cluster
/// can tell theirs from a stranger's. Whoever has only a worker's credential can check a seal and not make one.
///
/// A seal says who wrote a message, not when: what is sealed may be replayed.
pub trait ClusterSeal: Send + Sync + 'static {
    /// Seals a message; `None` where the credential is a worker's.
    fn seal(&self, message: &[u8]) -> Option<[u8; SEAL_BYTES]>;

    /// Whether a control node of this cluster has sealed exactly this message. Takes as long as a signature's check
    /// does, tens of microseconds: bound how often strangers can make you call it.
    fn is_sealed(&self, message: &[u8], seal: &[u8]) -> bool;
}
