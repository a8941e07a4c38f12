//! TLS over TCP: a connection for each caller, and bytes in bulk that both ends hash.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::certificate::{self, Identity, SERVER_NAME, greeted};
use super::stream_echo::{StreamCaller, echo};
use crate::Failure;
use crate::client::{Client, input_ends, say, take_orders};
use crate::content::{CHUNK_BYTES, Content};
use crate::order::{Figures, Order};

/// What the first byte of a connection says of the rest.
const CALLS: u8 = b'c';
const BULK: u8 = b'b';

/// The end that answers.
pub(super) async fn serve() -> Result<(), Failure> {
    let identity = Identity::new()?;
    let acceptor = TlsAcceptor::from(Arc::new(identity.server()?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&identity.greeting(listener.local_addr()?))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let mut stream = acceptor.accept(stream).await?;
                match stream.read_u8().await? {
                    BULK => receive(stream).await,
                    _ => echo(stream).await,
                }
            });
        }
    });
    input_ends().await
}

/// Takes bytes, and answers with their hash.
async fn receive(mut stream: server::TlsStream<TcpStream>) -> Result<(), Failure> {
    let mut left = usize::try_from(stream.read_u64().await?)?;
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; CHUNK_BYTES]);
    while left > 0 {
        let most = left.min(CHUNK_BYTES);
        let length = stream.read(&mut buffer[..most]).await?;
        if length == 0 {
            return Err("the bytes broke off".into());
        }
        hasher.update(&buffer[..length]);
        left -= length;
    }
    stream.write_all(hasher.finalize().as_bytes()).await?;
    Ok(stream.flush().await?)
}

/// The end that asks.
pub(super) async fn ask(greeting: &str) -> Result<(), Failure> {
    let (address, pem) = greeted(greeting)?;
    let connector = TlsConnector::from(Arc::new(certificate::client(&pem)?));
    say("ready")?;
    take_orders(Connections { address, connector, content: Content::new() }).await
}

struct Connections {
    address: SocketAddr,
    connector: TlsConnector,
    content: Content,
}

impl Connections {
    async fn connect(&self, first: u8) -> Result<client::TlsStream<TcpStream>, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut stream = self.connector.connect(ServerName::try_from(SERVER_NAME)?, stream).await?;
        stream.write_u8(first).await?;
        Ok(stream)
    }

    async fn bulk(&self, bytes: u64) -> Result<Figures, Failure> {
        let mut stream = self.connect(BULK).await?;
        stream.write_u64(bytes).await?;
        stream.flush().await?;
        let (begin, mut hasher) = (Instant::now(), blake3::Hasher::new());
        for chunk in self.content.chunks(bytes) {
            hasher.update(&chunk);
            stream.write_all(&chunk).await?;
        }
        stream.flush().await?;
        let mut theirs = [0; 32];
        stream.read_exact(&mut theirs).await?;
        if *hasher.finalize().as_bytes() != theirs {
            return Err("other bytes have arrived".into());
        }
        Ok(Figures { bytes: bytes as f64, seconds: begin.elapsed().as_secs_f64(), ..Figures::default() })
    }
}

impl Client for Connections {
    type Caller = StreamCaller<client::TlsStream<TcpStream>>;

    async fn callers(&self, count: usize) -> Result<Vec<Self::Caller>, Failure> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            callers.push(StreamCaller::new(self.connect(CALLS).await?));
        }
        Ok(callers)
    }

    async fn more(&self, order: &Order) -> Result<Figures, Failure> {
        match order {
            Order::Bulk { bytes } => self.bulk(*bytes).await,
            _ => Err(format!("this peer does not know {order}").into()),
        }
    }
}
