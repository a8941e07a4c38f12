//! WebSocket (RFC 6455) over TLS, as a stream of bytes: for networks that let nothing through but what looks like the web.
//!
//! Written here rather than taken from a library, since all that a link needs is the upgrade and the frames of binary
//! messages whose borders mean nothing: libraries keep whole messages, and draw their masks from elsewhere than our seam.

mod stream;
mod upgrade;

use std::io;

pub(super) use stream::{Side, WebSocketStream};
pub(super) use upgrade::{accept, request};

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {why}"))
}
