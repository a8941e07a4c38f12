//! TCP by tokio.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use tokio::net::TcpSocket;

use crate::network::{ByteStream, Connecting, Tcp, TcpListener};

/// How many connections wait for being accepted.
const BACKLOG: u32 = 1024;
/// How much may wait inside the system that was not sent yet: what is more urgent comes after it. A few times what one write
/// holds, so that a busy connection never runs dry.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

#[derive(Debug)]
pub(super) struct TokioTcp;

impl Tcp for TokioTcp {
    fn listen(&self, listen: SocketAddr) -> io::Result<Box<dyn TcpListener>> {
        let socket = socket(listen)?;
        // Else a node that starts again would wait for the connections of its former life.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        Ok(Box::new(TokioListener(socket.listen(BACKLOG)?)))
    }

    fn connect(&self, from: IpAddr, address: SocketAddr) -> Connecting {
        Box::pin(async move {
            let socket = socket(address)?;
            if !from.is_unspecified() {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            Ok(prepare(socket.connect(address).await?))
        })
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

struct TokioListener(tokio::net::TcpListener);

impl TcpListener for TokioListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn ByteStream>, SocketAddr)>> {
        let (stream, remote) = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok((prepare(stream), remote)))
    }
}

/// A connection on which nothing waits for more to send.
fn prepare(stream: tokio::net::TcpStream) -> Box<dyn ByteStream> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the system may hold short writes back");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!(%error, "the system may keep much that was not sent");
    }
    Box::new(stream)
}
