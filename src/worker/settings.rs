//! What all workers share: the settings in force, as one snapshot that is swapped whole.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use headpin_tls::TlsAcceptor;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use tokio::sync::Semaphore;

use crate::certificates::{CertificateError, CertificateTable, TicketKeysError, ticket_keys};
use crate::config::{Config, ConfigError, Sources, TlsVersion};
use crate::observe::metrics::Metrics;
use crate::route::Routes;
use crate::upstream::{HeadForm, LoadContext, RootsError, causes, check_files};

/// Why a config cannot be put in force. The operator's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Ticket keys cannot be used.
    #[error(transparent)]
    TicketKeys(#[from] TicketKeysError),
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
    /// Reads the config at `path`, and looks into the files that it names: a certificate or key that cannot be used is a fault
    /// like any other.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML; else all of its faults together.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        Config::load_and(path, look_into_files)
    }

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
        let tickets = config.tls.ticket_keys.as_deref().map(ticket_keys).transpose()?;
        let context = LoadContext {
            heads: HeadForm::new(&config.http),
            keepalive: config.server.keepalive,
            provider,
            metrics,
            generation,
        };
        let routes = Routes::load(&config, &context, previous.map(|previous| &previous.routes))?;
        Ok(Self {
            first_expiry: certificates.first_expiry(),
            tls: acceptor.server_config(versions, Arc::new(certificates), tickets.map(Arc::new)),
            routes,
            config,
            generation,
        })
    }
}

/// Adds a fault for each PEM file of `config` that cannot be used.
fn look_into_files(config: &Config, sources: &Sources<'_>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for (index, files) in config.tls.certificates.iter().enumerate() {
        if let Err(error) = CertificateTable::load(std::slice::from_ref(files), &provider) {
            let keys = ["cert", "key"].map(|key| format!("tls.certificates[{index}].{key}"));
            refuse(sources, "PEM files", &keys, &error);
        }
    }
    if let Some(Err(error)) = config.tls.ticket_keys.as_deref().map(ticket_keys) {
        refuse(sources, "files of ticket keys", &["tls.ticket_keys".to_owned()], &error);
    }
    for (name, upstream) in config.all_upstreams() {
        let path = match config.upstreams.contains_key(name) {
            true => format!("upstreams.{name}"),
            false => "upstream".to_owned(),
        };
        for (key, error) in check_files(upstream, &provider) {
            refuse(
                sources,
                "PEM files",
                &[format!("{path}.{key}"), format!("{path}.servers")],
                &error,
            );
        }
    }
}

fn refuse(sources: &Sources<'_>, what: &str, keys: &[String], error: &dyn std::error::Error) {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let problem = format!("accepted are {what} that can be used; {}", causes(error));
    sources.refuse_together(&keys, problem);
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

#[cfg(any(test, feature = "fuzzing"))]
impl Shared {
    /// On the embedded default, with so many permits.
    pub(crate) fn for_test(connections: usize, requests: usize) -> Self {
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("an empty registry");
        let acceptor = TlsAcceptor::new().expect("randomness");
        let settings = Settings::load(Config::default(), 0, &acceptor, &metrics, None).expect("the embedded default");
        Self {
            settings: ArcSwap::from_pointee(settings),
            metrics,
            connections: Arc::new(Semaphore::new(connections)),
            requests: Arc::new(Semaphore::new(requests)),
        }
    }
}
