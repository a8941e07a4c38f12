//! The same over TCP: whoever has TLS and nothing else gets no further than over QUIC.

use std::net::SocketAddr;
use std::time::Duration;

use phalanx_base::TransportKind;
use phalanx_transport::{EndpointConfig, HandshakeError, MESSAGE_BYTES_MAX, Secret, Step, SystemEntropy};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::raw::{ALPN, tls_client, tls_server};
use crate::victim::Victim;

/// How long a stranger may take here.
const SHORT: Duration = Duration::from_millis(300);

/// A frame of the kind that carries a message of the handshake.
const MESSAGE: u8 = 12;
/// The kind of frame that says why there is no link, and the code of a message that cannot be read.
const CLOSE: u8 = 11;
const CALLED_INVALID: u8 = 0x10;

fn header(kind: u8, bytes: usize) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0, 0], (bytes as u16).to_le_bytes().as_slice()].concat()
}

async fn dial(address: SocketAddr, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let io = TcpStream::connect(address).await?;
    let name = ServerName::try_from("phalanx").unwrap();
    TlsConnector::from(tls_client(protocol)).connect(name, io).await
}

/// Everything that comes until the connection ends.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An end without a word is one too.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

#[tokio::test]
async fn a_stranger_that_stalls_at_any_step_is_cut_in_time() {
    let config = EndpointConfig { handshake_timeout: SHORT, ..EndpointConfig::default() };
    let victim = Victim::with(config);
    for step in 0..4 {
        let began = Instant::now();
        let stall = async {
            if step == 0 {
                let mut io = TcpStream::connect(victim.address()).await.unwrap();
                return rest(&mut io).await;
            }
            let mut stream = dial(victim.address(), ALPN).await.unwrap();
            match step {
                1 => {}
                2 => stream.write_all(&[MESSAGE]).await.unwrap(),
                _ => stream.write_all(&header(MESSAGE, 100)).await.unwrap(),
            }
            stream.flush().await.unwrap();
            rest(&mut stream).await
        };
        victim.while_listening(stall).await;
        let took = began.elapsed();
        assert!(took >= SHORT && took < 20 * SHORT, "step {step}: {took:?}");
    }
    victim.is_untouched();
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_with_a_word() {
    let victim = Victim::new();
    let too_long = header(MESSAGE, MESSAGE_BYTES_MAX + 1);
    let noise = [header(MESSAGE, 3), vec![9; 3]].concat();
    // A stream, before anything is proved.
    let open = [header(1, 1), vec![1]].concat();
    for (count, sent) in [too_long, noise, open].into_iter().enumerate() {
        let say = async {
            let mut stream = dial(victim.address(), ALPN).await.unwrap();
            stream.write_all(&sent).await.unwrap();
            stream.flush().await.unwrap();
            rest(&mut stream).await
        };
        let told = victim.while_listening(say).await;
        assert_eq!(told, [header(CLOSE, 4), vec![CALLED_INVALID, 0, 0, 0]].concat(), "{sent:?}");
        while victim.heard() <= count {
            victim.while_listening(tokio::task::yield_now()).await;
        }
    }
    let malformed = HandshakeError::Malformed { expected: Step::Hello };
    assert_eq!(victim.heard_errors(), [malformed.clone(), malformed.clone(), malformed]);
    victim.is_untouched();
}

#[tokio::test]
async fn another_protocol_and_another_page_lead_nowhere() {
    let victim = Victim::new();
    let other = victim.while_listening(dial(victim.address(), b"h2")).await;
    assert!(other.is_err(), "TLS says that there is no common protocol");
    let ask = async {
        let mut stream = dial(victim.address(), b"http/1.1").await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        stream.flush().await.unwrap();
        rest(&mut stream).await
    };
    let answer = victim.while_listening(ask).await;
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer));
    victim.is_untouched();
}

/// Somebody in the middle, with a TLS session to each of two honest nodes, who passes on every byte untouched.
#[tokio::test]
async fn proofs_do_not_pass_through_a_relay_over_tcp() {
    let secret = Secret::generate(&SystemEntropy::new());
    let dialler = Victim::named("dialler", &secret, EndpointConfig::default());
    let listener = Victim::named("listener", &secret, EndpointConfig::default());
    let middle = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = middle.local_addr().unwrap();
    let attack = async {
        let (io, _) = middle.accept().await.unwrap();
        let mut from = TlsAcceptor::from(tls_server(ALPN)).accept(io).await.unwrap();
        let mut to = dial(listener.address(), ALPN).await.unwrap();
        let _ = copy_bidirectional(&mut from, &mut to).await;
    };
    let both = async { tokio::join!(dialler.endpoint.dial_over(address, TransportKind::Tls), attack) };
    let (outcome, ()) = Box::pin(listener.while_listening(both)).await;
    assert!(outcome.is_err(), "{outcome:?}");
    while listener.heard() == 0 {
        listener.while_listening(tokio::task::yield_now()).await;
    }
    listener.is_untouched();
    dialler.is_untouched();
    assert_eq!(listener.heard_errors(), [HandshakeError::WrongSecret]);
}
