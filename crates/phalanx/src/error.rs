//! Why a node does not start.

use std::net::SocketAddr;

use phalanx_base::{Address, AddressError, AddressListError, NodeIdError, Role};
use phalanx_jobs::RegisterError;
use phalanx_transport::{BindError, DialError};

use crate::store::StoreError;

/// Why a node does not start. Nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address to listen on is not one.
    #[error("cannot listen on {given:?}: give an IP address and a port, such as 0.0.0.0:7000")]
    Listen {
        /// What was given.
        given: String,
    },
    /// The node's name is not one.
    #[error(transparent)]
    NodeId(#[from] NodeIdError),
    /// An advertised address is not one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There are too many advertised addresses, or one of them is wrong.
    #[error(transparent)]
    AddressList(#[from] AddressListError),
    /// A handler cannot be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The socket, the cluster's name or the credential is not right.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What membership was told is not right.
    #[error(transparent)]
    Membership(#[from] phalanx_membership::StartError),
    /// The credential does not allow the role.
    #[error("the credential does not allow the role {role}: a control node needs the cluster secret")]
    Role {
        /// The role.
        role: Role,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The threads for the user's code cannot be started, or there is no tokio runtime here.
    #[error("cannot start: {0}")]
    Runtime(#[source] std::io::Error),
}

/// Some failures name the socket themselves.
fn dialled(socket: SocketAddr, error: &DialError) -> String {
    match error {
        DialError::Unreachable { .. } => error.to_string(),
        error => format!("{socket}: {error}"),
    }
}

/// Why there is no link to the node at an address. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name in the address has no IP address.
    #[error("{address} cannot be resolved: check the name, or give an IP address")]
    Unresolved {
        /// The address.
        address: Address,
    },
    /// The node does not answer, or refuses.
    #[error("{}", dialled(*socket, error))]
    Dial {
        /// The socket that was dialled last.
        socket: SocketAddr,
        /// Why there is no link.
        #[source]
        error: DialError,
    },
}
