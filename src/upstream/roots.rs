//! What https servers are checked against, and what they are shown.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::certificates::{PemError, private_key, read_certificates};
use crate::config::{Scheme, UpstreamConfig};

/// Why https servers cannot be spoken to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// A PEM file cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A certificate in the file of `ca` is no root.
    #[error("{} holds a certificate that cannot be a root", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// `client_cert` and `client_key` do not belong together.
    #[error("{} and its key cannot be used", path.display())]
    ClientCertificate {
        /// The file of the certificate.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// There is nothing to check against.
    #[error("the system has no root certificates; install them or set upstream.ca")]
    None,
}

/// What is wrong with the PEM files of `config`, each with the key that names it.
#[must_use]
pub fn check_files(config: &UpstreamConfig, provider: &Arc<CryptoProvider>) -> Vec<(&'static str, RootsError)> {
    // Each on its own: one fault must not hide the other.
    let of_roots = UpstreamConfig {
        client_cert: None,
        client_key: None,
        ..config.clone()
    };
    let of_client = UpstreamConfig {
        ca: None,
        servers: Vec::new(),
        ..config.clone()
    };
    let both = [("ca", of_roots), ("client_cert", of_client)];
    let faults = both.into_iter().filter_map(|(key, config)| {
        let fault = client_config(&config, provider).err()?;
        Some((key, fault))
    });
    faults.collect()
}

/// The client side's TLS settings.
///
/// # Errors
/// When an https server is configured and there are no roots for it, or a file cannot be used.
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
    } else if config.servers.iter().any(|server| server.url.scheme == Scheme::Https) {
        // Some of a system's roots may be too old-fashioned to parse; what counts is that there are any.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(RootsError::None);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has suites for the default versions")
        .with_root_certificates(roots);
    let mut client = match (&config.client_cert, &config.client_key) {
        (Some(cert), Some(key)) => {
            let identity = builder.with_client_auth_cert(read_certificates(cert)?, private_key(key)?);
            identity.map_err(|source| RootsError::ClientCertificate {
                path: cert.clone(),
                source,
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    // For the record layer of tunnels; they do not leave the process.
    client.enable_secret_extraction = true;
    client.key_log = headpin_tls::secret_tap();
    Ok(Arc::new(client))
}
