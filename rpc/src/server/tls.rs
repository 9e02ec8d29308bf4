//! TLS of the server.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::error::RpcError;

/// Reads certificate and key.
///
/// # Errors
/// `Tls`, naming the file.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, RpcError> {
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(&files.certificate, format!("expected certificates in PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unusable(&files.certificate, "expected certificates in PEM, found none".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable(&files.key, format!("expected a private key in PEM: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| {
            unusable(&files.certificate, format!("certificate and key do not work together: {error}"))
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn unusable(path: &Path, reason: String) -> RpcError {
    RpcError::Tls { path: path.to_owned(), reason }
}
