//! What all workers share: the settings in force, as one snapshot that is swapped whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use headpin_tls::TlsAcceptor;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio::sync::Semaphore;

use crate::certificates::{CertificateError, CertificateTable};
use crate::config::{Config, TlsVersion};
use crate::observe::metrics::Metrics;
use crate::route::Routes;
use crate::upstream::{HeadForm, Making, RootsError};

/// Why a config cannot be put in force. The operator's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// https servers cannot be checked.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// One configuration with what was made of it. A connection takes the snapshot that is in force when it arrives, a
/// request the one in force when it is forwarded.
#[derive(Debug)]
pub struct Settings {
    /// As checked.
    pub config: Config,
    /// Certificates and versions for new connections.
    pub tls: Arc<ServerConfig>,
    /// When the first of the certificates ends to be valid, in seconds since 1970.
    pub first_expiry: i64,
    /// Where requests go.
    pub routes: Routes,
    /// Counts the snapshots.
    pub generation: u64,
}

impl Settings {
    /// Makes ready what `config` says: certificates, routes, servers. What is known of servers that `previous` has as well is kept.
    ///
    /// # Errors
    /// [`LoadError`], when a file that it names cannot be used.
    pub fn load(
        config: Config,
        generation: u64,
        acceptor: &TlsAcceptor,
        metrics: &Arc<Metrics>,
        previous: Option<&Self>,
    ) -> Result<Self, LoadError> {
        let provider = acceptor.provider();
        let certificates = match &config.tls.certificates[..] {
            [] => CertificateTable::self_signed(provider),
            files => CertificateTable::load(files, provider)?,
        };
        let versions = match config.tls.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let making = Making {
            heads: HeadForm::new(&config.http),
            keepalive: config.server.keepalive,
            provider,
            metrics,
            generation,
        };
        let routes = Routes::load(&config, &making, previous.map(|previous| &previous.routes))?;
        Ok(Self {
            first_expiry: certificates.first_expiry(),
            tls: acceptor.server_config(versions, Arc::new(certificates)),
            routes,
            config,
            generation,
        })
    }
}

/// Shared by all workers of a proxy.
#[derive(Debug)]
pub struct Shared {
    /// The snapshot in force.
    pub settings: ArcSwap<Settings>,
    /// Every series.
    pub metrics: Arc<Metrics>,
    /// A permit for each downstream connection.
    pub connections: Arc<Semaphore>,
    /// A permit for each request without a response.
    pub requests: Arc<Semaphore>,
}
