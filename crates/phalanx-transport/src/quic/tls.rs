//! TLS 1.3 for links: a fresh self-signed Ed25519 certificate per start, and verifiers that ask no authority.
//!
//! The certificate says nothing about who the peer is; that comes from the proof, which is bound to the TLS session
//! by its exporter. The handshake signature is still checked: without that, the session would not even be with whoever
//! has the certificate. Sessions are not resumed and no early data is sent, so that each link has a handshake of its own.

use std::sync::Arc;

use phalanx_base::Entropy;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use zeroize::Zeroizing;

use crate::seams::TlsProvider;

/// The application protocol of every link but those over WebSocket.
pub(crate) const ALPN: &[u8] = b"phalanx/1";
/// The protocol of which WebSocket is an upgrade.
pub(crate) const ALPN_HTTP: &[u8] = b"http/1.1";
/// The name that TLS wants a server to have. Nobody checks it.
pub(crate) const SERVER_NAME: &str = "phalanx";

/// The DER of a PKCS #8 private key of Ed25519 (RFC 8410, section 7) up to the seed.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why no TLS could be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the TLS library refuses its settings: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("the TLS library has no cipher for the first packets of QUIC")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The two halves of TLS for one endpoint.
pub(crate) struct Tls {
    pub(crate) server: Arc<QuicServerConfig>,
    pub(crate) client: Arc<QuicClientConfig>,
    pub(crate) over_tcp: TlsOverTcp,
}

/// The same over TCP, where one port serves several protocols.
pub(crate) struct TlsOverTcp {
    server: rustls::ServerConfig,
    client: rustls::ClientConfig,
}

impl TlsOverTcp {
    /// The end that listens, for these protocols.
    pub(crate) fn server(&self, protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
        let mut server = self.server.clone();
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(server)
    }

    /// The end that dials, for this protocol.
    pub(crate) fn client(&self, protocol: &[u8]) -> Arc<rustls::ClientConfig> {
        let mut client = self.client.clone();
        client.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(client)
    }
}

impl Tls {
    pub(crate) fn new(provider: &TlsProvider, entropy: &dyn Entropy) -> Result<Self, TlsError> {
        let provider = provider.0.clone();
        let (certificate, key) = certificate(entropy)?;
        let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth();
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let over_tcp = TlsOverTcp { server: server.clone(), client: client.clone() };
        Ok(Self { server: Arc::new(server.try_into()?), client: Arc::new(client.try_into()?), over_tcp })
    }
}

/// A self-signed certificate whose key comes from `entropy`, so that a seeded run makes the same one.
fn certificate(
    entropy: &dyn Entropy,
) -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), TlsError> {
    let mut key = Zeroizing::new([0; PKCS8_ED25519.len() + 32]);
    let (prefix, seed) = key.split_at_mut(PKCS8_ED25519.len());
    prefix.copy_from_slice(&PKCS8_ED25519);
    entropy.fill(seed);
    let key = PrivatePkcs8KeyDer::from(key.to_vec());
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519)?;
    let certificate = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()])?.self_signed(&pair)?;
    Ok((certificate.into(), key))
}

/// Takes any certificate, and checks that the peer has its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
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
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn one_seed_makes_one_certificate() {
        let make = |seed| certificate(&Fixed(seed)).unwrap().0;
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}
