//! What all workers share: the settings in force, as one snapshot that is swapped whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::upstream::Dialer;

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
    /// The upstream's servers.
    pub dialer: Arc<Dialer>,
    /// Counts the snapshots; the key of the pools of upstream connections.
    pub generation: u64,
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
