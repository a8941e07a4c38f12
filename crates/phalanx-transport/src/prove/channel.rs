//! What carries the messages of a handshake: a stream of QUIC, or the bytes of TLS before the link's own frames.

use std::io;

use quinn::{Connection, ConnectionError, ReadExactError, RecvStream, SendStream, WriteError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::close::{CloseReason, LinkLost};
use crate::endpoint::DialError;
use crate::handshake::{End, MESSAGE_BYTES_MAX};
use crate::mux::wire::{CLOSE, CLOSE_BYTES_MAX, Content, HEADER_BYTES, Header, PROOF, Transmit};
use crate::network::ByteStream;

/// Why no message can be sent or received.
pub(super) enum ChannelError {
    /// The peer does not keep to the form.
    Broken,
    /// The connection is lost; where the peer has closed it with a code, that.
    Lost { error: DialError, told: Option<(u64, Vec<u8>)> },
}

/// Messages in both directions, each whole.
pub(super) trait Channel: Send {
    fn send(&mut self, message: &[u8]) -> impl Future<Output = Result<(), ChannelError>> + Send;

    /// The length of the next message is checked before there is room made for it.
    fn receive(&mut self) -> impl Future<Output = Result<Vec<u8>, ChannelError>> + Send;
}

/// The first stream of a connection, which the dialler opens.
pub(super) struct QuicChannel<'a> {
    end: End,
    connection: &'a Connection,
    streams: Option<(SendStream, RecvStream)>,
}

impl<'a> QuicChannel<'a> {
    pub(super) fn new(end: End, connection: &'a Connection) -> Self {
        Self { end, connection, streams: None }
    }

    async fn streams(&mut self) -> Result<&mut (SendStream, RecvStream), ChannelError> {
        if self.streams.is_none() {
            let opened = match self.end {
                End::Dialler => self.connection.open_bi().await,
                End::Acceptor => self.connection.accept_bi().await,
            };
            self.streams = Some(opened?);
        }
        self.streams.as_mut().ok_or(ChannelError::Broken)
    }
}

impl Channel for QuicChannel<'_> {
    async fn send(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        let bytes = [&(message.len() as u16).to_le_bytes(), message].concat();
        let (send, _) = self.streams().await?;
        send.write_all(&bytes).await.map_err(|error| match error {
            WriteError::ConnectionLost(error) => error.into(),
            _ => ChannelError::Broken,
        })
    }

    async fn receive(&mut self) -> Result<Vec<u8>, ChannelError> {
        let failed = |error| match error {
            ReadExactError::ReadError(quinn::ReadError::ConnectionLost(error)) => error.into(),
            _ => ChannelError::Broken,
        };
        let (_, recv) = self.streams().await?;
        let mut length = [0; 2];
        recv.read_exact(&mut length).await.map_err(failed)?;
        let length = usize::from(u16::from_le_bytes(length));
        if length > MESSAGE_BYTES_MAX {
            return Err(ChannelError::Broken);
        }
        let mut message = vec![0; length];
        recv.read_exact(&mut message).await.map_err(failed)?;
        Ok(message)
    }
}

impl From<ConnectionError> for ChannelError {
    fn from(error: ConnectionError) -> Self {
        let told = match &error {
            ConnectionError::ApplicationClosed(close) => {
                Some((close.error_code.into_inner(), close.reason.to_vec()))
            }
            _ => None,
        };
        Self::Lost { error: error.into(), told }
    }
}

/// The first bytes of a connection: frames of the link's own form, of a kind that comes here only, or a close.
pub(super) struct BytesChannel<'a>(pub(super) &'a mut dyn ByteStream);

impl BytesChannel<'_> {
    /// Tells the peer why there will be no link.
    pub(super) async fn close(&mut self, code: u32, detail: &[u8]) -> io::Result<()> {
        let close = Transmit::close(code, detail);
        self.0.write_all(close.head()).await?;
        if let Content::Bytes(detail) = &close.content {
            self.0.write_all(detail).await?;
        }
        self.0.shutdown().await
    }

    /// Waits until the peer has closed the connection; what it still sends is not looked at.
    pub(super) async fn closed(&mut self) {
        let mut ignored = [0; 512];
        while self.0.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

impl Channel for BytesChannel<'_> {
    async fn send(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        let header = Header { kind: PROOF, stream: 0, bytes: message.len() };
        self.0.write_all(&[&header.encode(), message].concat()).await?;
        Ok(self.0.flush().await?)
    }

    async fn receive(&mut self) -> Result<Vec<u8>, ChannelError> {
        let mut header = [0; HEADER_BYTES];
        self.0.read_exact(&mut header).await?;
        let header = Header::decode(&header);
        let bytes_max = match header.kind {
            PROOF => MESSAGE_BYTES_MAX,
            CLOSE => CLOSE_BYTES_MAX,
            _ => return Err(ChannelError::Broken),
        };
        if header.bytes > bytes_max {
            return Err(ChannelError::Broken);
        }
        let mut body = vec![0; header.bytes];
        self.0.read_exact(&mut body).await?;
        if header.kind == PROOF {
            return Ok(body);
        }
        let (code, detail) = body.split_first_chunk().ok_or(ChannelError::Broken)?;
        let code = u32::from_le_bytes(*code).into();
        let error = DialError::Refused(CloseReason::decode(code, detail));
        Err(ChannelError::Lost { error, told: Some((code, detail.to_vec())) })
    }
}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> Self {
        Self::Lost { error: DialError::Lost(LinkLost::Carrier(error.to_string())), told: None }
    }
}
