#![doc = include_str!("../README.md")]

mod admit;
mod close;
mod dial;
mod endpoint;
mod entropy;
mod evidence;
mod frame;
mod handshake;
#[cfg(test)]
mod liar;
mod link;
mod mux;
mod network;
mod network_tokio;
mod prove;
mod quic;
mod seams;
mod tcp;
mod trust;

pub use admit::{Admit, AdmitAll};
pub use close::{CloseReason, LinkLost};
pub use endpoint::{BindError, DialError, Endpoint, EndpointConfig};
pub use entropy::SystemEntropy;
pub use frame::{FRAME_BYTES_MAX, Frame, FrameCaps, FrameDecoder, FrameError};
pub use handshake::{
    EXPORTER_BYTES, End, Handshake, HandshakeError, HandshakeEvent, MESSAGE_BYTES_MAX, NONCE_BYTES, Proven,
    Refusal, Step, WireRange,
};
pub use link::{DatagramError, FrameReceiver, FrameSender, Link, LinkId, Peer, StreamError};
pub use network::{
    ByteStream, CongestionMark, Connecting, Network, Received, Tcp, TcpListener, Transmit, UdpSocket,
    Unreachable, Writable,
};
pub use network_tokio::TokioNetwork;
pub use seams::{Seams, TlsProvider};
pub use trust::{
    CLUSTER_NAME_BYTES_MAX, ClusterId, ClusterNameError, Credential, LocalNode, PASSWORD_BYTES_MAX,
    PASSWORD_CHARACTERS_MIN, PasswordError, Secret, SecretTextError, WorkerCredential,
};
