//! Whom this node takes, once it has proved itself: the one decision that the layer above makes during a handshake.

use std::net::SocketAddr;

use phalanx_base::{Boot, Role};

use crate::handshake::{HandshakeError, Refusal};

/// Decides over diallers that have proved themselves, and hears of those that have not.
///
/// Called on the task that accepts, so that it must not wait.
pub trait Admit: Send + Sync + 'static {
    /// Whether to take this peer. Asked after its proof and before it learns anything but ours.
    ///
    /// # Errors
    /// The [`Refusal`] that the peer is told.
    fn admit(&self, peer: &Boot, role: Role) -> Result<(), Refusal>;

    /// A dialler was refused, or refused us; it has been logged. For counters.
    fn refused(&self, remote: SocketAddr, error: &HandshakeError) {
        let _ = (remote, error);
    }
}

/// Takes every peer that has proved itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmitAll;

impl Admit for AdmitAll {
    fn admit(&self, _peer: &Boot, _role: Role) -> Result<(), Refusal> {
        Ok(())
    }
}
