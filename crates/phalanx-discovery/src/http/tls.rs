//! Whom a client trusts, from files. There is no way to trust everybody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::files::read_file;
use super::{HttpError, chain};

/// The files of a client's TLS, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificates of those who may vouch for the server. Without it no server is trusted, so that only plain HTTP
    /// works.
    pub(crate) ca: Option<PathBuf>,
    /// The client's own certificates and key, where the server asks for them.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Reads the files.
    pub(super) fn configuration(&self) -> Result<ClientConfig, HttpError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| fail(path, chain(&error)))?;
            }
        }
        let client = |error: rustls::Error| HttpError::Client(chain(&error));
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(client)?
            .with_root_certificates(roots);
        let mut configuration = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain_path, key_path)) => {
                let key = PrivateKeyDer::from_pem_slice(&read_file(key_path)?)
                    .map_err(|_| fail(key_path, "there is no private key in PEM".to_owned()))?;
                builder
                    .with_client_auth_cert(certificates(chain_path)?, key)
                    .map_err(|error| fail(key_path, chain(&error)))?
            }
        };
        configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(configuration)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let pem = read_file(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fail(path, chain(&error)))?;
    if found.is_empty() { Err(fail(path, "there is no certificate in PEM".to_owned())) } else { Ok(found) }
}

fn fail(path: &Path, reason: String) -> HttpError {
    HttpError::File { path: path.display().to_string(), reason }
}
