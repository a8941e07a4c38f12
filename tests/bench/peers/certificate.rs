//! One self-signed certificate for each peer that speaks TLS. Its server tells it to its client, who trusts nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Failure;

/// The name in the certificate.
pub(super) const SERVER_NAME: &str = "localhost";

/// A certificate and its key, as PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Identity {
    /// A fresh one.
    pub(super) fn new() -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        Ok(Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    /// What a server of this identity says when it is ready.
    pub(super) fn greeting(&self, address: SocketAddr) -> String {
        let digits: String = self.certificate.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{address} {digits}")
    }

    /// The server's half of TLS 1.3.
    pub(super) fn server(&self) -> Result<ServerConfig, Failure> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        Ok(ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?)
    }
}

/// Where a server is and its certificate as PEM, from what it has said.
pub(super) fn greeted(greeting: &str) -> Result<(SocketAddr, String), Failure> {
    let (address, digits) = greeting.split_once(' ').ok_or("the server has told no certificate")?;
    let bytes: Result<Vec<u8>, _> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2).unwrap_or_default(), 16))
        .collect();
    Ok((address.parse()?, String::from_utf8(bytes?)?))
}

/// The client's half of TLS 1.3, which trusts this certificate alone.
pub(super) fn client(certificate: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The one that our links use too: the same ciphers in the same order.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
