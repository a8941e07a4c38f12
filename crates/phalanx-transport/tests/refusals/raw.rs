//! A peer made of quinn alone: it says what a test wants it to say, honest or not.

use std::net::SocketAddr;
use std::sync::Arc;

use phalanx_transport::{Credential, EXPORTER_BYTES, End, Handshake, HandshakeEvent, LocalNode, NONCE_BYTES};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

/// What the real nodes speak.
pub(crate) const ALPN: &[u8] = b"phalanx/1";
/// The tags of the three messages.
pub(crate) const HELLO: u8 = 1;
pub(crate) const PROOF: u8 = 2;
pub(crate) const VERDICT: u8 = 3;

/// A verdict that lets the dialler in.
pub(crate) const ADMITTED: &[u8] = &[VERDICT, 0];

/// A socket that dials and listens, and knows no manners.
pub(crate) struct Raw(Endpoint);

impl Raw {
    pub(crate) fn new() -> Self {
        Self::speaking(ALPN)
    }

    pub(crate) fn speaking(alpn: &[u8]) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let here = "127.0.0.1:0".parse().unwrap();
        let mut endpoint = Endpoint::server(server(&provider, alpn), here).unwrap();
        endpoint.set_default_client_config(client(provider, alpn));
        Self(endpoint)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) async fn try_dial(&self, address: SocketAddr) -> Result<Connection, quinn::ConnectionError> {
        self.0.connect(address, "phalanx").unwrap().await
    }

    /// Dials and opens the stream of the handshake.
    pub(crate) async fn dial(&self, address: SocketAddr) -> Speaker {
        let connection = self.try_dial(address).await.unwrap();
        let (send, recv) = connection.open_bi().await.unwrap();
        Speaker { connection, send, recv }
    }

    pub(crate) async fn try_accept(&self) -> Result<Connection, quinn::ConnectionError> {
        self.0.accept().await.unwrap().await
    }

    /// Takes whoever dials, and the stream of the handshake.
    pub(crate) async fn accept(&self) -> Speaker {
        let connection = self.try_accept().await.unwrap();
        let (send, recv) = connection.accept_bi().await.unwrap();
        Speaker { connection, send, recv }
    }
}

/// The stream of a handshake.
pub(crate) struct Speaker {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

impl Speaker {
    /// Sends a message. That the victim has gone is no error of the test: it may have refused already.
    pub(crate) async fn say(&mut self, message: &[u8]) {
        let bytes = [&(message.len() as u16).to_le_bytes(), message].concat();
        let _ = self.send.write_all(&bytes).await;
    }

    pub(crate) async fn hear(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.recv.read_exact(&mut length).await.ok()?;
        let mut message = vec![0; u16::from_le_bytes(length).into()];
        self.recv.read_exact(&mut message).await.ok()?;
        Some(message)
    }

    /// An honest handshake over this very connection.
    pub(crate) fn honest(&self, end: End, node: &LocalNode, credential: impl Into<Credential>) -> Handshake {
        let mut exporter = [0; EXPORTER_BYTES];
        self.connection.export_keying_material(&mut exporter, b"EXPORTER-phalanx/1-proof", b"").unwrap();
        Handshake::new(end, node, credential.into(), exporter, [5; NONCE_BYTES])
    }

    /// Runs an honest handshake to its end.
    pub(crate) async fn prove(&mut self, mut handshake: Handshake) {
        loop {
            while let Some(message) = handshake.poll_transmit() {
                self.say(&message).await;
            }
            match handshake.poll_event() {
                Some(HandshakeEvent::Done(_)) => return,
                Some(HandshakeEvent::AskAdmission(_)) => handshake.handle_admission(Ok(())),
                Some(HandshakeEvent::Failed(error)) => panic!("an honest peer was refused: {error}"),
                None => handshake.handle_message(&self.hear().await.unwrap()),
            }
        }
    }
}

fn client(provider: Arc<CryptoProvider>, alpn: &[u8]) -> ClientConfig {
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(client_tls(provider, alpn)).unwrap()))
}

/// What dials over TCP.
pub(crate) fn tls_client(alpn: &[u8]) -> Arc<rustls::ClientConfig> {
    Arc::new(client_tls(Arc::new(rustls::crypto::ring::default_provider()), alpn))
}

/// What listens over TCP.
pub(crate) fn tls_server(alpn: &[u8]) -> Arc<rustls::ServerConfig> {
    Arc::new(server_tls(&Arc::new(rustls::crypto::ring::default_provider()), alpn))
}

fn client_tls(provider: Arc<CryptoProvider>, alpn: &[u8]) -> rustls::ClientConfig {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls
}

fn server(provider: &Arc<CryptoProvider>, alpn: &[u8]) -> ServerConfig {
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server_tls(provider, alpn)).unwrap()))
}

fn server_tls(provider: &Arc<CryptoProvider>, alpn: &[u8]) -> rustls::ServerConfig {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["phalanx".into()]).unwrap().self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key.into())
        .unwrap();
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls
}

/// Takes every certificate, as the real nodes do.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC has TLS 1.3 only")
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
