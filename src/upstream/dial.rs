//! Connecting to a server: the next one in turn, and if it fails another.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headpin_slab::WorkerSlabs;
use headpin_tls::{SlabStream, TlsBuffers};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::balance::{Balancer, Server};
use super::eyeballs;
use super::slices::UpstreamSlices;
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
    tls: Arc<ClientConfig>,
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
            tls,
            connect_timeout: config.connect_timeout,
            keepalive,
            metrics,
        }
    }

    /// Shows this dialer's servers in the metrics, in the place of those of an earlier config.
    pub fn put_in_force(&self) {
        self.balancer.show(&self.metrics);
    }

    /// Connects to the next server in turn, to be read in slices; when one fails, to the one after it, until each was tried once.
    ///
    /// # Errors
    /// The failure of the last server that was tried.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn dial(&self, slabs: &Rc<WorkerSlabs>, buffers: &Rc<TlsBuffers>) -> Result<UpstreamSlices, DialError> {
        let mut last = DialError::NoServer;
        for server in self.candidates() {
            match self.noted(server, self.slices(&server.url, slabs, buffers)).await {
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

    /// Connects to `server`.
    ///
    /// # Errors
    /// Its failure.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn dial_server(&self, server: &Server) -> Result<UpstreamStream, DialError> {
        self.noted(server, self.stream(&server.url)).await
    }

    /// Waits for `connecting` to `server` within the limit, and notes how that went.
    async fn noted<T>(
        &self,
        server: &Server,
        connecting: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let connected = timeout(self.connect_timeout, connecting).await;
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

    /// A socket that is connected to the server at `url`.
    async fn socket(&self, url: &ServerUrl) -> Result<TcpStream, DialError> {
        let server = || url.to_string();
        let addresses = tokio::net::lookup_host((url.host.as_str(), url.port));
        let addresses = addresses.await.map_err(|source| DialError::Resolve {
            server: server(),
            source,
        })?;
        let failed = |source| DialError::Connect {
            server: server(),
            source,
        };
        let connected = eyeballs::connect(url, addresses.collect(), self.connect_timeout).await;
        let socket = connected.map_err(failed)?;
        sockets::tune(&socket, self.keepalive).map_err(failed)?;
        Ok(socket)
    }

    async fn stream(&self, url: &ServerUrl) -> Result<UpstreamStream, DialError> {
        let socket = self.socket(url).await?;
        let open = GaugeGuard::new(&self.metrics.upstream_connections_open);
        match url.scheme {
            Scheme::Http => Ok(UpstreamStream::plain(socket, open)),
            Scheme::Https => {
                let connecting = TlsConnector::from(Arc::clone(&self.tls)).connect(name(url)?, socket);
                let stream = connecting.await.map_err(|error| tls_failed(url, error))?;
                Ok(UpstreamStream::tls(stream, open))
            }
        }
    }

    async fn slices(
        &self,
        url: &ServerUrl,
        slabs: &Rc<WorkerSlabs>,
        buffers: &Rc<TlsBuffers>,
    ) -> Result<UpstreamSlices, DialError> {
        let socket = self.socket(url).await?;
        let open = GaugeGuard::new(&self.metrics.upstream_connections_open);
        match url.scheme {
            Scheme::Http => Ok(UpstreamSlices::plain(socket, Rc::clone(slabs), open)),
            Scheme::Https => {
                let (config, buffers) = (Arc::clone(&self.tls), Rc::clone(buffers));
                let connecting = SlabStream::connect(socket, config, name(url)?, buffers, self.connect_timeout);
                let stream = connecting
                    .await
                    .map_err(|error| tls_failed(url, io::Error::other(error)))?;
                Ok(UpstreamSlices::tls(stream, open))
            }
        }
    }
}

/// The name that the server's certificate must have.
fn name(url: &ServerUrl) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(url.host.clone()).map_err(|error| tls_failed(url, io::Error::other(error)))
}

fn tls_failed(url: &ServerUrl, source: io::Error) -> DialError {
    DialError::Tls {
        server: url.to_string(),
        source,
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("balancer", &self.balancer)
            .finish_non_exhaustive()
    }
}
