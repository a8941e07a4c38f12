//! Endpoints on real sockets: who is let in, who is not, and what both sides learn of it.

use std::io::Write;
use std::sync::{Mutex as StdMutex, PoisonError};

use phalanx_base::{Boot, Entropy, Lane, NodeId};
use quinn::{Connection, TokioRuntime};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::network::Network;
use crate::quic::tls::SERVER_NAME;
use crate::{AdmitAll, FrameCaps, FrameSender, Secret, SystemEntropy, TlsProvider, TokioNetwork};

mod closing;

/// What was logged by this crate, at info or above, on this thread.
#[derive(Clone, Default)]
struct Log(Arc<StdMutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("phalanx_transport=info"))
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Refuses whom it is told to, and remembers what it hears of.
#[derive(Default)]
struct Doorkeeper {
    refuse: Option<Refusal>,
    asked: StdMutex<Vec<(Boot, Role)>>,
    heard: StdMutex<Vec<HandshakeError>>,
}

impl Admit for Doorkeeper {
    fn admit(&self, peer: &Boot, role: Role) -> Result<(), Refusal> {
        self.asked.lock().unwrap().push((peer.clone(), role));
        self.refuse.map_or(Ok(()), Err)
    }
    fn refused(&self, _remote: SocketAddr, error: &HandshakeError) {
        self.heard.lock().unwrap().push(error.clone());
    }
}

fn local(cluster: &str, name: &str, role: Role) -> LocalNode {
    let boot = Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(7) };
    LocalNode { cluster: cluster.into(), boot, role }
}

fn secret() -> Secret {
    Secret::generate(&SystemEntropy::new())
}

fn here() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn prover(local: LocalNode, credential: impl Into<Credential>, admit: Arc<dyn Admit>) -> Prover {
    Prover {
        local,
        credential: credential.into(),
        entropy: Arc::new(SystemEntropy::new()),
        admit,
        handshake_timeout: EndpointConfig::default().handshake_timeout,
        endpoint_closed: Arc::default(),
        evidence: Arc::default(),
    }
}

fn bind_with(
    config: EndpointConfig,
    node: LocalNode,
    credential: impl Into<Credential>,
    admit: Arc<dyn Admit>,
) -> Endpoint {
    // The check of the credential is left out, so that a node can lie.
    let prover = Prover { handshake_timeout: config.handshake_timeout, ..prover(node, credential, admit) };
    Endpoint::bind_unchecked(config, prover, here(), &Seams::real()).unwrap()
}

fn bind(node: LocalNode, credential: impl Into<Credential>) -> Endpoint {
    bind_with(EndpointConfig::default(), node, credential, Arc::new(AdmitAll))
}

/// Accepts until the dial is over; nothing may be let in.
async fn dial_refused(dialler: &Endpoint, acceptor: &Endpoint) -> DialError {
    let error = tokio::select! {
        biased;
        outcome = dialler.dial(acceptor.local_addr()) => outcome.unwrap_err(),
        link = acceptor.accept() => panic!("let in: {link:?}"),
    };
    // The acceptor hears of the end a little later: closing it lets every handshake under way come to one.
    dialler.close(CloseReason::Shutdown);
    dialler.wait_idle().await;
    error
}

/// Accepts until the log has a line.
async fn accept_until_logged(acceptor: &Endpoint, log: &Log) {
    while log.lines().is_empty() {
        tokio::select! {
            biased;
            link = acceptor.accept() => panic!("let in: {link:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

/// Runs a dial that must be refused; the error of the dialler, what the acceptor heard, and the one line it logged.
async fn refusal(
    dialler: Endpoint,
    acceptor_is: LocalNode,
    acceptor_has: impl Into<Credential>,
    refuse: Option<Refusal>,
) -> (DialError, HandshakeError, String) {
    let (log, _guard) = Log::capture();
    let door = Arc::new(Doorkeeper { refuse, ..Doorkeeper::default() });
    let acceptor = bind_with(EndpointConfig::default(), acceptor_is, acceptor_has, door.clone());
    let error = dial_refused(&dialler, &acceptor).await;
    accept_until_logged(&acceptor, &log).await;
    let (lines, heard) = (log.lines(), door.heard.lock().unwrap().clone());
    assert_eq!((lines.len(), heard.len()), (1, 1), "{lines:?} {heard:?}");
    let asked = door.asked.lock().unwrap().len();
    assert_eq!(asked, usize::from(refuse.is_some()), "asked only about peers that are proved");
    (error, heard[0].clone(), lines[0].clone())
}

#[tokio::test]
async fn both_ends_of_one_pair_of_sockets_dial_and_accept() {
    let secret = secret();
    let a = bind(local("media", "a", Role::Control), &secret);
    let b = bind(local("media", "b", Role::Control), &secret);
    for (dialler, acceptor) in [(&a, &b), (&b, &a)] {
        let (dialled, accepted) = tokio::join!(dialler.dial(acceptor.local_addr()), acceptor.accept());
        let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
        assert_eq!(dialled.peer().boot, acceptor.local_node().boot);
        assert_eq!(accepted.peer().boot, dialler.local_node().boot);
        assert_eq!((dialled.peer().dialled, accepted.peer().dialled), (true, false));
        assert_eq!(accepted.peer().remote, Some(dialler.local_addr()));
        assert_eq!((dialled.peer().wire, accepted.peer().role), (1, Role::Control));
        assert!(accepted.id() > dialled.id() || dialled.id() > accepted.id());
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let dialler = bind(local("media", "d", Role::Control), secret());
    let (error, heard, line) = refusal(dialler, local("media", "a", Role::Control), secret(), None).await;
    assert_eq!((error, heard), (DialError::WrongSecret, HandshakeError::WrongSecret));
    assert!(line.contains("WARN") && line.contains("same cluster secret"), "{line}");
    assert!(line.contains("claimed=d@7"), "{line}");
}

#[tokio::test]
async fn a_wrong_cluster_name_is_refused_and_both_names_are_told() {
    let secret = secret();
    let dialler = bind(local("media", "d", Role::Control), &secret);
    let (error, heard, line) = refusal(dialler, local("video", "a", Role::Control), &secret, None).await;
    assert_eq!(error, DialError::WrongCluster { ours: "media".into(), theirs: "video".into() });
    assert_eq!(heard, HandshakeError::WrongCluster { ours: "video".into(), theirs: "media".into() });
    assert!(line.contains("media") && line.contains("video"), "{line}");
}

#[tokio::test]
async fn a_worker_credential_that_claims_control_is_refused() {
    let secret = secret();
    let claims = local("media", "d", Role::Control);
    let dialler = bind(claims.clone(), Credential::impostor(&secret.worker_credential()));
    let (error, heard, line) = refusal(dialler, local("media", "a", Role::Control), &secret, None).await;
    assert_eq!(error, DialError::RoleNotProven { claimed: Role::Control });
    assert_eq!(heard, HandshakeError::RoleNotProven { claimed: Role::Control });
    assert!(line.contains("does not allow the role control"), "{line}");
    // And one that asks honestly is told so at once.
    let bound = Endpoint::bind(
        EndpointConfig::default(),
        claims,
        secret.worker_credential().into(),
        here(),
        &Seams::real(),
        Arc::new(AdmitAll),
    );
    assert!(matches!(bound, Err(BindError::RoleNotAllowed { role: Role::Control })));
}

#[tokio::test]
async fn an_acceptor_that_only_claims_control_is_found_by_the_worker() {
    let secret = secret();
    let dialler = bind(local("media", "w", Role::Worker), secret.worker_credential());
    let impostor = Credential::impostor(&secret.worker_credential());
    let acceptor = bind(local("media", "a", Role::Control), impostor);
    // The liar lets the worker in and believes in a link, until the worker has seen its proof.
    let (dialled, accepted) = tokio::join!(dialler.dial(acceptor.local_addr()), acceptor.accept());
    assert_eq!(dialled.unwrap_err(), DialError::RoleNotProven { claimed: Role::Control });
    assert_eq!(accepted.unwrap().closed().await, LinkLost::ClosedByPeer(CloseReason::NotProven));
}

#[tokio::test]
async fn two_workers_never_link() {
    let secret = secret();
    let dialler = bind(local("media", "w", Role::Worker), secret.worker_credential());
    let (error, heard, _) = refusal(dialler, local("media", "v", Role::Worker), &secret, None).await;
    assert_eq!((error, heard), (DialError::NoControl, HandshakeError::NoControl));
}

#[tokio::test]
async fn a_stale_or_unwanted_boot_is_refused_after_the_proof() {
    let secret = secret();
    let known = Generation::from_u64(9);
    for (refuse, expected) in [
        (Refusal::Stale { known }, DialError::Stale { known }),
        (Refusal::Busy, DialError::Busy),
        (Refusal::Myself, DialError::Myself),
    ] {
        let dialler = bind(local("media", "d", Role::Control), &secret);
        let to = local("media", "a", Role::Control);
        let (error, heard, _) = refusal(dialler, to, &secret, Some(refuse)).await;
        assert_eq!((error, heard), (expected, HandshakeError::Refused(refuse)));
    }
}

#[tokio::test]
async fn a_node_that_dials_itself_learns_so() {
    let (log, _guard) = Log::capture();
    let node = bind(local("media", "a", Role::Control), secret());
    tokio::select! {
        biased;
        outcome = node.dial(node.local_addr()) => assert_eq!(outcome.unwrap_err(), DialError::Myself),
        link = node.accept() => panic!("let in: {link:?}"),
    }
    accept_until_logged(&node, &log).await;
    assert_eq!(log.lines().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_told_in_time() {
    let config = EndpointConfig { dial_timeout: Duration::from_millis(50), ..EndpointConfig::default() };
    let node = bind_with(config, local("media", "a", Role::Control), secret(), Arc::new(AdmitAll));
    let silent = std::net::UdpSocket::bind(here()).unwrap();
    assert_eq!(node.dial(silent.local_addr().unwrap()).await.unwrap_err(), DialError::TimedOut);
    let unreachable = node.dial("[::1]:9".parse().unwrap()).await.unwrap_err();
    assert!(matches!(unreachable, DialError::Unreachable { .. }), "{unreachable}");
    node.close(CloseReason::Shutdown);
    assert_eq!(node.dial(here()).await.unwrap_err(), DialError::Closed);
    assert!(node.accept().await.is_none());
}

#[tokio::test]
async fn too_many_handshakes_are_answered_busy_and_some_by_a_detour() {
    let secret = secret();
    let dialler = bind(local("media", "d", Role::Control), &secret);
    let full = EndpointConfig { half_open_max: 0, ..EndpointConfig::default() };
    let acceptor = bind_with(full, local("media", "a", Role::Control), &secret, Arc::new(AdmitAll));
    tokio::select! {
        biased;
        outcome = dialler.dial(acceptor.local_addr()) => assert_eq!(outcome.unwrap_err(), DialError::Busy),
        link = acceptor.accept() => panic!("let in: {link:?}"),
    }
    let wary = EndpointConfig { half_open_unchecked_max: 0, ..EndpointConfig::default() };
    let acceptor = bind_with(wary, local("media", "b", Role::Control), &secret, Arc::new(AdmitAll));
    let (dialled, accepted) = tokio::join!(dialler.dial(acceptor.local_addr()), acceptor.accept());
    assert!(dialled.is_ok() && accepted.is_some());
}

/// A peer with TLS and no manners.
async fn stranger(to: &Endpoint) -> (quinn::Endpoint, Connection) {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let tls = Tls::new(&TlsProvider::ring(), &*entropy).unwrap();
    let settings = Settings::new(&EndpointConfig::default(), &tls, &entropy, &[7; 64]);
    let socket = TokioNetwork.bind(here()).unwrap();
    let quinn = quinn::Endpoint::new_with_abstract_socket(
        settings.endpoint,
        None,
        Arc::new(Adapter::new(socket, Arc::default())),
        Arc::new(TokioRuntime),
    )
    .unwrap();
    let connecting = quinn.connect_with(settings.client, to.local_addr(), SERVER_NAME).unwrap();
    let connection = tokio::select! {
        biased;
        connection = connecting => connection.unwrap(),
        _ = to.accept() => panic!("let in"),
    };
    (quinn, connection)
}

async fn closed_with(acceptor: &Endpoint, connection: &Connection) -> u64 {
    tokio::select! {
        biased;
        error = connection.closed() => match error {
            ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("closed otherwise: {other}"),
        },
        link = acceptor.accept() => panic!("let in: {link:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_stalls_is_cut_in_time_and_has_one_stream_until_then() {
    let (log, _guard) = Log::capture();
    let config =
        EndpointConfig { handshake_timeout: Duration::from_millis(200), ..EndpointConfig::default() };
    let acceptor = bind_with(config, local("media", "a", Role::Control), secret(), Arc::new(AdmitAll));
    let (_socket, connection) = stranger(&acceptor).await;
    let (mut handshake, _) = connection.open_bi().await.unwrap();
    // Half a length, and then nothing more.
    handshake.write_all(&[1]).await.unwrap();
    let code = tokio::select! {
        biased;
        Ok(_) = connection.open_bi() => panic!("a stranger got a second stream"),
        code = closed_with(&acceptor, &connection) => code,
    };
    assert_eq!(code, u64::from(HandshakeError::TimedOut.encode().0));
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].contains("not done in time"), "{lines:?}");
}

#[tokio::test]
async fn messages_of_strangers_are_bounded_and_must_make_sense() {
    let acceptor = bind(local("media", "a", Role::Control), secret());
    let invalid = u64::from(HandshakeError::CalledInvalid.encode().0);
    // A length above the limit, of which no byte is waited for; then noise; then a lane where the hello is due.
    for sent in [&[0x01, 0x10][..], &[3, 0, 9, 9, 9], &[1, 0, Lane::Control.code()]] {
        let (_socket, connection) = stranger(&acceptor).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(sent).await.unwrap();
        assert_eq!(closed_with(&acceptor, &connection).await, invalid, "{sent:?}");
    }
}

/// Frames that a dialler sends as soon as it can reach the acceptor only after both proofs hold, and not before.
#[tokio::test]
async fn streams_wait_for_the_proof() {
    static CAPS: FrameCaps = FrameCaps::new().with(1, 9);
    let secret = secret();
    let (a, b) = (
        bind(local("media", "a", Role::Control), &secret),
        bind(local("media", "b", Role::Control), &secret),
    );
    let dial = async {
        let link = a.dial(b.local_addr()).await.unwrap();
        let (mut sender, _receiver) = link.open(Lane::Control).await.unwrap();
        sender.send(1, "first").await.unwrap();
        link.closed().await
    };
    let accept = async {
        let link = b.accept().await.unwrap();
        let (lane, _sender, mut receiver) = link.accept().await.unwrap();
        let frame = receiver.next(&CAPS).await.unwrap().unwrap();
        link.close(CloseReason::Shutdown);
        (lane, frame.body)
    };
    let (lost, (lane, body)) = tokio::join!(dial, accept);
    assert_eq!((lane, &body[..]), (Lane::Control, &b"first"[..]));
    assert_eq!(lost, LinkLost::ClosedByPeer(CloseReason::Shutdown));
}

#[tokio::test]
async fn streams_that_name_no_lane_hold_up_nobody() {
    let secret = secret();
    let (a, b) = (
        bind(local("media", "a", Role::Control), &secret),
        bind(local("media", "b", Role::Control), &secret),
    );
    let (a, b) = tokio::join!(a.dial(b.local_addr()), b.accept());
    let (a, b) = (a.unwrap(), b.unwrap());
    let raw = a.connection();
    let (mut unknown, _kept) = raw.open_bi().await.unwrap();
    unknown.write_all(&[0x77]).await.unwrap();
    // Exists for the peer because a later stream does, though not one byte of it has been sent.
    let _silent = raw.open_bi().await.unwrap();
    let (mut empty, _kept) = raw.open_bi().await.unwrap();
    empty.finish().unwrap();
    let _stream = a.open(Lane::Event).await.unwrap();
    assert_eq!(b.accept().await.unwrap().0, Lane::Event);
    assert_eq!(unknown.stopped().await.unwrap(), Some(1_u32.into()));
}

#[tokio::test]
async fn links_outlive_their_endpoints() {
    let secret = secret();
    let (a, b) = (
        bind(local("media", "a", Role::Control), &secret),
        bind(local("media", "b", Role::Control), &secret),
    );
    let (to_b, to_a) = tokio::join!(a.dial(b.local_addr()), b.accept());
    drop((a, b));
    let (to_b, to_a) = (to_b.unwrap(), to_a.unwrap());
    let _stream = to_b.open(Lane::Event).await.unwrap();
    assert_eq!(to_a.accept().await.unwrap().0, Lane::Event);
}

/// Callers run these on tasks of their own.
#[test]
fn the_futures_can_move_between_threads() {
    fn check<T: Send>(_: impl Fn() -> T) {}
    let (endpoint, link): (Option<Endpoint>, Option<Link>) = (None, None);
    let (endpoint, link) = (endpoint.as_ref(), link.as_ref());
    check(|| endpoint.unwrap().dial(here()));
    check(|| endpoint.unwrap().accept());
    check(|| link.unwrap().open(Lane::Bulk));
    check(|| link.unwrap().accept());
    check(|| link.unwrap().closed());
    check(|| link.unwrap().close_flushed(CloseReason::Shutdown, Duration::ZERO));
    check(|| endpoint.unwrap().close_flushed(CloseReason::Shutdown, Duration::ZERO));
}
