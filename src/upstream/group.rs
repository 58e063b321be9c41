//! An upstream: servers that stand for one another.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Parts, PathAndQuery, Scheme};
use rustls::crypto::CryptoProvider;

use super::balance::Server;
use super::dial::{DialError, Dialer};
use super::heads::HeadForm;
use super::pool::{PooledClient, PooledConnection, pooled_client};
use super::roots::{RootsError, client_config};
use crate::config::UpstreamConfig;
use crate::observe::metrics::Metrics;

/// Servers that stand for one another: how one is chosen and dialled, what it may take, and which connections are kept.
#[derive(Debug)]
pub struct Upstream {
    /// Connects to the next server.
    pub dialer: Arc<Dialer>,
    /// The longest silence between a request and its response's head.
    pub response_timeout: Duration,
    /// Counts the configs that upstreams were made from; the key of the pools of connections to it.
    pub generation: u64,
    pool_idle_timeout: Duration,
    pool_max_idle: usize,
    /// How heads are read and written.
    pub heads: HeadForm,
}

impl Upstream {
    /// The servers of `config`; `heads` is for the messages to them, `keepalive` for the connections.
    ///
    /// # Errors
    /// When https servers cannot be checked.
    pub fn load(
        config: &UpstreamConfig,
        heads: HeadForm,
        keepalive: Option<Duration>,
        provider: &Arc<CryptoProvider>,
        metrics: &Arc<Metrics>,
        generation: u64,
    ) -> Result<Self, RootsError> {
        let tls = client_config(config, provider)?;
        Ok(Self {
            dialer: Arc::new(Dialer::new(config, keepalive, tls, Arc::clone(metrics))),
            response_timeout: config.response_timeout,
            generation,
            pool_idle_timeout: config.pool_idle_timeout,
            pool_max_idle: config.pool_max_idle,
            heads,
        })
    }

    /// A worker's client for plain requests, with a pool of its own.
    #[must_use]
    pub fn pooled_client(&self) -> PooledClient {
        pooled_client(
            self.pool_idle_timeout,
            self.pool_max_idle,
            self.heads,
            Arc::clone(&self.dialer),
        )
    }

    /// The URI that asks a [`PooledClient`] of this upstream for `path` of `server`.
    #[must_use]
    pub fn uri(server: &Server, path: PathAndQuery) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(server.key.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("it has all three parts")
    }

    /// A connection to `server` that is not in a pool.
    ///
    /// # Errors
    /// When the server cannot be connected to.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn connect(&self, server: &Server) -> Result<PooledConnection, DialError> {
        self.dialer.dial_server(server).await.map(PooledConnection::new)
    }

    /// Shows its servers in the metrics, in the place of those of an earlier config.
    pub fn put_in_force(&self) {
        self.dialer.put_in_force();
    }
}
