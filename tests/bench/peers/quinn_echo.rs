//! QUIC as it is: the end that answers, and how the other end connects. The settings are quinn's own.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};

use super::certificate::{self, Identity, SERVER_NAME, greeted};
use crate::Failure;
use crate::client::{input_ends, say};
use crate::content::CHUNK_BYTES;

/// What the first byte of a stream says of the rest.
pub(super) const FRAMES: u8 = b'f';
pub(super) const ONE_REQUEST: u8 = b'r';
pub(super) const BULK: u8 = b'b';

/// The longest request.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// The length of what stands before each request: its length, and the number by which its caller knows it.
pub(super) const HEAD_BYTES: usize = 8;

/// The end that answers.
pub(super) async fn serve() -> Result<(), Failure> {
    let identity = Identity::new()?;
    let tls = QuicServerConfig::try_from(identity.server()?)?;
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(tls)), address)?;
    say(&identity.greeting(endpoint.local_addr()?))?;
    let accepting = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(async move {
                let connection = incoming.await?;
                while let Ok((sender, receiver)) = connection.accept_bi().await {
                    tokio::spawn(answer(sender, receiver));
                }
                Ok::<(), Failure>(())
            });
        }
    });
    input_ends().await
}

async fn answer(sender: SendStream, mut receiver: RecvStream) -> Result<(), Failure> {
    let mut kind = [0];
    receiver.read_exact(&mut kind).await?;
    match kind[0] {
        FRAMES => echo_frames(sender, receiver).await,
        BULK => receive(sender, receiver).await,
        _ => echo_whole(sender, receiver).await,
    }
}

async fn echo_whole(mut sender: SendStream, mut receiver: RecvStream) -> Result<(), Failure> {
    let request = receiver.read_to_end(REQUEST_BYTES_MAX).await?;
    sender.write_all(&request).await?;
    Ok(sender.finish()?)
}

/// Answers all requests that have come with one write.
async fn echo_frames(mut sender: SendStream, mut receiver: RecvStream) -> Result<(), Failure> {
    let mut come = BytesMut::new();
    while let Some(chunk) = receiver.read_chunk(CHUNK_BYTES, true).await? {
        come.extend_from_slice(&chunk.bytes);
        let mut whole = 0;
        while let Some(length) = frame_bytes(&come[whole..]) {
            whole += length;
        }
        if whole > 0 {
            sender.write_chunk(come.split_to(whole).freeze()).await?;
        }
    }
    Ok(())
}

/// How long the first frame is, head and all, once the whole of it has come.
pub(super) fn frame_bytes(come: &[u8]) -> Option<usize> {
    let mut head = come.get(..HEAD_BYTES)?;
    let length = usize::try_from(head.get_u32()).ok()? + HEAD_BYTES;
    (come.len() >= length).then_some(length)
}

/// Takes bytes, and answers with their hash.
async fn receive(mut sender: SendStream, mut receiver: RecvStream) -> Result<(), Failure> {
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = receiver.read_chunk(CHUNK_BYTES, true).await? {
        hasher.update(&chunk.bytes);
    }
    sender.write_all(hasher.finalize().as_bytes()).await?;
    Ok(sender.finish()?)
}

/// How to reach a server.
pub(super) struct Dialler {
    endpoint: Endpoint,
    address: SocketAddr,
}

impl Dialler {
    /// By what it has said.
    pub(super) fn new(greeting: &str) -> Result<Self, Failure> {
        let (address, pem) = greeted(greeting)?;
        let tls = QuicClientConfig::try_from(certificate::client(&pem)?)?;
        let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(tls)));
        Ok(Self { endpoint, address })
    }

    /// One more connection.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(self.endpoint.connect(self.address, SERVER_NAME)?.await?)
    }
}
