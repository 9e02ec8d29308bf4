//! TLS of the client.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::error::ClientError;

/// The TLS configuration that trusts the authorities in `ca`, or the system's, or for plain HTTP nobody: reading the system's
/// takes longer than a call.
///
/// # Errors
/// `Authority`, naming the file; `Tls`.
pub(super) fn config(scheme: &str, ca: Option<&Path>) -> Result<ClientConfig, ClientError> {
    let roots = match ca {
        Some(path) => authorities(path)?,
        None if scheme == "http" => RootCertStore::empty(),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls { reason: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn authorities(path: &Path) -> Result<RootCertStore, ClientError> {
    let unusable = |reason: String| ClientError::Authority { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(format!("expected certificates in PEM: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("expected certificates in PEM, found none".to_owned()));
    }
    Ok(roots)
}
