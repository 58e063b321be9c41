//! Connecting to a server: the next one in turn, and if it fails another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::balance::{Balancer, Server};
use super::eyeballs;
use super::stream::UpstreamStream;
use crate::config::{Scheme, ServerUrl, UpstreamConfig};
use crate::observe::labels::UpstreamFailure;
use crate::observe::metrics::{GaugeGuard, Metrics};
use crate::sockets;

/// Why no server could be reached; of several failures the last. Usually the upstream's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name of the server is unknown.
    #[error("{server} does not resolve")]
    Resolve {
        /// Which server.
        server: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// No connection: refused, or no route.
    #[error("{server} cannot be connected to")]
    Connect {
        /// Which server.
        server: String,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {server} failed")]
    Tls {
        /// Which server.
        server: String,
        /// What rustls says.
        #[source]
        source: io::Error,
    },
    /// Not connected within `upstream.connect_timeout`.
    #[error("{server} did not connect in time")]
    Timeout {
        /// Which server.
        server: String,
    },
    /// The config has no server.
    #[error("no upstream server is configured")]
    NoServer,
}

impl DialError {
    /// The label it is counted under.
    #[must_use]
    pub fn failure(&self) -> UpstreamFailure {
        match self {
            Self::Resolve { .. } => UpstreamFailure::Resolve,
            Self::Connect { .. } | Self::NoServer => UpstreamFailure::Connect,
            Self::Tls { .. } => UpstreamFailure::Tls,
            Self::Timeout { .. } => UpstreamFailure::ConnectTimeout,
        }
    }
}

/// Connects to the upstream's servers.
pub struct Dialer {
    balancer: Balancer,
    tls: TlsConnector,
    connect_timeout: Duration,
    keepalive: Option<Duration>,
    metrics: Arc<Metrics>,
}

impl Dialer {
    /// A dialer for the servers of `config`.
    #[must_use]
    pub fn new(
        config: &UpstreamConfig,
        keepalive: Option<Duration>,
        tls: Arc<ClientConfig>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            balancer: Balancer::new(&config.servers, config.down_for),
            tls: TlsConnector::from(tls),
            connect_timeout: config.connect_timeout,
            keepalive,
            metrics,
        }
    }

    /// Shows this dialer's servers in the metrics, in the place of those of an earlier config.
    pub fn put_in_force(&self) {
        self.balancer.show(&self.metrics);
    }

    /// Connects to the next server in turn; when one fails, to the one after it, until each was tried once.
    ///
    /// # Errors
    /// The failure of the last server that was tried.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn dial(&self) -> Result<UpstreamStream, DialError> {
        let mut last = DialError::NoServer;
        for server in self.candidates() {
            match self.dial_server(server).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Every server once, in the order to try them for one request.
    pub fn candidates(&self) -> impl Iterator<Item = &Server> {
        self.balancer.candidates()
    }

    /// Connects to `server`, and notes how that went.
    ///
    /// # Errors
    /// Its failure.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn dial_server(&self, server: &Server) -> Result<UpstreamStream, DialError> {
        let connected = timeout(self.connect_timeout, self.connect(&server.url)).await;
        let connected = connected.unwrap_or_else(|_| {
            Err(DialError::Timeout {
                server: server.url.to_string(),
            })
        });
        match &connected {
            Ok(_) => self.balancer.succeeded(server),
            Err(error) => {
                tracing::debug!(error = error as &dyn std::error::Error, "an upstream server failed");
                self.metrics.upstream_failures_total[error.failure()].inc();
                self.balancer.failed(server);
            }
        }
        connected
    }

    /// Connects to the server that has this name in the pool.
    pub(super) async fn dial_key(&self, key: &str) -> Result<UpstreamStream, DialError> {
        match self.balancer.by_key(key) {
            Some(server) => self.dial_server(server).await,
            None => Err(DialError::NoServer),
        }
    }

    async fn connect(&self, url: &ServerUrl) -> Result<UpstreamStream, DialError> {
        let server = || url.to_string();
        let addresses = tokio::net::lookup_host((url.host.as_str(), url.port));
        let addresses = addresses.await.map_err(|source| DialError::Resolve {
            server: server(),
            source,
        })?;
        let connected = eyeballs::connect(url, addresses.collect(), self.connect_timeout).await;
        let socket = connected.map_err(|source| DialError::Connect {
            server: server(),
            source,
        })?;
        self.secure(url, socket).await
    }

    async fn secure(&self, url: &ServerUrl, socket: TcpStream) -> Result<UpstreamStream, DialError> {
        sockets::tune(&socket, self.keepalive).map_err(|source| DialError::Connect {
            server: url.to_string(),
            source,
        })?;
        let open = GaugeGuard::new(&self.metrics.upstream_connections_open);
        match url.scheme {
            Scheme::Http => Ok(UpstreamStream::plain(socket, open)),
            Scheme::Https => {
                let failed = |source| DialError::Tls {
                    server: url.to_string(),
                    source,
                };
                let name = ServerName::try_from(url.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
                let stream = self.tls.connect(name, socket).await.map_err(failed)?;
                Ok(UpstreamStream::tls(stream, open))
            }
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("balancer", &self.balancer)
            .finish_non_exhaustive()
    }
}
