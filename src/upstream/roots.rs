//! What https servers are checked against.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::certificates::{PemError, read_certificates};
use crate::config::{Scheme, UpstreamConfig};

/// Why https servers cannot be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The file of `upstream.ca` cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate in it is no root.
    #[error("{} holds a certificate that cannot be a root", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// There is nothing to check against.
    #[error("the system has no root certificates; install them or set upstream.ca")]
    None,
}

/// The client side's TLS settings.
///
/// # Errors
/// When an https server is configured and there are no roots for it.
///
/// # Panics
/// Never: the provider has suites for the default versions.
pub(super) fn client_config(
    config: &UpstreamConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ClientConfig>, RootsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.ca {
        for certificate in read_certificates(path)? {
            roots.add(certificate).map_err(|source| RootsError::Root {
                path: path.clone(),
                source,
            })?;
        }
    } else if config.servers.iter().any(|server| server.scheme == Scheme::Https) {
        // Some of a system's roots may be too old-fashioned to parse; what counts is that there are any.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(RootsError::None);
        }
    }
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    // For the record layer of tunnels; they do not leave the process.
    client.enable_secret_extraction = true;
    Ok(Arc::new(client))
}
