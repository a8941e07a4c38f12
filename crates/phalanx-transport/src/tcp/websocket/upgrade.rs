//! The request that turns HTTP into WebSocket, and its answer.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phalanx_base::Entropy;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::broken;
use crate::quic::settings::draw;

/// Where links are on a web server.
const PATH: &str = "/phalanx";
/// The longest head of a request or an answer: a stranger's, so that little is kept of it.
const HEAD_BYTES_MAX: usize = 4096;
/// How many lines one has.
const HEADERS_MAX: usize = 32;
/// What RFC 6455 appends to a key before it is hashed, section 1.3. Nothing secret.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Asks for the upgrade. Nothing is read beyond the answer.
pub(crate) async fn request(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: SocketAddr,
    entropy: &dyn Entropy,
) -> io::Result<()> {
    let key = STANDARD.encode(draw::<16>(entropy));
    let head = format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await?;
    io.flush().await?;
    let head = read_head(io).await?;
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let is_whole = answer.parse(&head).is_ok_and(|status| status.is_complete());
    if !is_whole || answer.code != Some(101) {
        return Err(broken("the server does not take the upgrade"));
    }
    if value(answer.headers, "sec-websocket-accept") != Some(accept_key(&key).as_bytes()) {
        return Err(broken("the server's answer is for another request"));
    }
    Ok(())
}

/// Answers a request for the upgrade; another request is told that there is nothing.
pub(crate) async fn accept(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let head = read_head(io).await?;
    let Some(key) = asked(&head) else {
        io.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
        io.shutdown().await?;
        return Err(broken("a request for something else"));
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(&key)
    );
    io.write_all(answer.as_bytes()).await?;
    io.flush().await
}

/// The key of a request for the upgrade; `None` of any other.
fn asked(head: &[u8]) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    if !request.parse(head).ok()?.is_complete() || request.method != Some("GET") || request.path != Some(PATH)
    {
        return None;
    }
    let says = |name, word: &str| {
        let value = std::str::from_utf8(value(request.headers, name)?).ok()?;
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)).then_some(())
    };
    says("upgrade", "websocket")?;
    says("connection", "upgrade")?;
    says("sec-websocket-version", "13")?;
    let key = value(request.headers, "sec-websocket-key")?;
    std::str::from_utf8(key).ok().map(str::to_owned)
}

fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn accept_key(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{KEY_SUFFIX}").as_bytes()))
}

/// Reads up to the empty line, and no byte more: what follows is not HTTP.
async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(broken("the head is too long"));
        }
        head.push(io.read_u8().await?);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_answer_is_that_of_the_standard() {
        // RFC 6455, section 1.3.
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_request_for_the_upgrade_is_one() {
        let lines = [
            "GET /phalanx HTTP/1.1",
            "Host: a",
            "Upgrade: WebSocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: abc",
        ];
        let head = |lines: &[&str]| format!("{}\r\n\r\n", lines.join("\r\n"));
        assert_eq!(asked(head(&lines).as_bytes()).as_deref(), Some("abc"));
        for missing in [0, 2, 3, 4, 5] {
            let mut lines = lines.to_vec();
            lines.remove(missing);
            assert_eq!(asked(head(&lines).as_bytes()), None, "without line {missing}");
        }
        for other in ["POST /phalanx HTTP/1.1", "GET / HTTP/1.1", "GET /phalanx/more HTTP/1.1"] {
            let mut lines = lines;
            lines[0] = other;
            assert_eq!(asked(head(&lines).as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_head_is_read_or_refused(head: Vec<u8>) {
            let _ = asked(&head);
        }
    }
}
