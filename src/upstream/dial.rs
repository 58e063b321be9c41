//! Connecting to one server.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headpin_slab::WorkerSlabs;
use headpin_tls::{SlabStream, TlsBuffers};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::eyeballs;
use super::server::{Endpoint, Server};
use super::slices::UpstreamSlices;
use super::socket::Socket;
use super::stream::UpstreamStream;
use crate::config::{Place, Scheme, ServerUrl};
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
    /// Not connected within `connect_timeout`, or what was left of `dial_timeout`.
    #[error("{server} did not connect in time")]
    Timeout {
        /// Which server.
        server: String,
    },
    /// There is no server.
    #[error("the upstream has no server")]
    NoServer,
    /// Every server has as many requests as `max_connections` says, and no place came free in time, or too many wait.
    #[error("every server of upstream {upstream} has as many requests as its max_connections allows; try again")]
    Full {
        /// Which upstream.
        upstream: String,
    },
}

impl DialError {
    /// The label it is counted under; `None` where no server failed.
    #[must_use]
    pub fn failure(&self) -> Option<UpstreamFailure> {
        match self {
            Self::Resolve { .. } => Some(UpstreamFailure::Resolve),
            Self::Connect { .. } | Self::NoServer => Some(UpstreamFailure::Connect),
            Self::Tls { .. } => Some(UpstreamFailure::Tls),
            Self::Timeout { .. } => Some(UpstreamFailure::ConnectTimeout),
            Self::Full { .. } => None,
        }
    }
}

/// Connects to the servers of one upstream.
pub struct Dialer {
    /// Where servers are asked for TLS.
    pub(super) tls: Arc<ClientConfig>,
    /// What their certificates must have, if it is not the host of their URL.
    pub(super) server_name: Option<ServerName<'static>>,
    pub(super) connect_timeout: Duration,
    pub(super) keepalive: Option<Duration>,
    pub(super) metrics: Arc<Metrics>,
}

impl Dialer {
    /// Connects to `server`, for plain requests, until `deadline` at the latest.
    ///
    /// # Errors
    /// Its failure.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn stream(&self, server: &Server, deadline: Instant) -> Result<UpstreamStream, DialError> {
        self.in_time(server, deadline, async {
            let socket = self.socket(server).await?;
            let open = GaugeGuard::new(&self.metrics.upstream_connections_open);
            match (server.url.scheme, socket) {
                (Scheme::Https, Socket::Tcp(socket)) => {
                    let connecting = TlsConnector::from(Arc::clone(&self.tls)).connect(self.name(&server.url)?, socket);
                    let stream = connecting.await.map_err(|error| tls_failed(&server.url, error))?;
                    Ok(UpstreamStream::tls(stream, open))
                }
                (_, socket) => Ok(UpstreamStream::plain(socket, open)),
            }
        })
        .await
    }

    /// Connects to `server`, to be read in slices, until `deadline` at the latest.
    ///
    /// # Errors
    /// Its failure.
    ///
    /// # Cancel safety
    /// Dropping it closes what was being connected.
    pub async fn slices(
        &self,
        server: &Server,
        deadline: Instant,
        slabs: &Rc<WorkerSlabs>,
        buffers: &Rc<TlsBuffers>,
    ) -> Result<UpstreamSlices, DialError> {
        self.in_time(server, deadline, async {
            let socket = self.socket(server).await?;
            let open = GaugeGuard::new(&self.metrics.upstream_connections_open);
            match (server.url.scheme, socket) {
                (Scheme::Https, Socket::Tcp(socket)) => {
                    let (config, buffers) = (Arc::clone(&self.tls), Rc::clone(buffers));
                    let name = self.name(&server.url)?;
                    let connecting = SlabStream::connect(socket, config, name, buffers, self.connect_timeout);
                    let stream = connecting
                        .await
                        .map_err(|error| tls_failed(&server.url, io::Error::other(error)))?;
                    Ok(UpstreamSlices::tls(stream, open))
                }
                (_, socket) => Ok(UpstreamSlices::plain(socket, Rc::clone(slabs), open)),
            }
        })
        .await
    }

    /// Waits for `connecting` to `server` within the limits.
    async fn in_time<T>(
        &self,
        server: &Server,
        deadline: Instant,
        connecting: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let deadline = deadline.min(Instant::now() + self.connect_timeout);
        timeout_at(deadline, connecting).await.unwrap_or_else(|_| {
            Err(DialError::Timeout {
                server: server.url.to_string(),
            })
        })
    }

    /// A socket that is connected to `server`.
    async fn socket(&self, server: &Server) -> Result<Socket, DialError> {
        let name = || server.url.to_string();
        let failed = |source| DialError::Connect { server: name(), source };
        let stream = match &server.endpoint {
            Endpoint::Unix(path) => return UnixStream::connect(path).await.map(Socket::Unix).map_err(failed),
            Endpoint::Addresses(addresses) => match addresses[..] {
                [address] => TcpStream::connect(address).await,
                _ => eyeballs::connect(&server.url, addresses.clone(), self.connect_timeout).await,
            },
            Endpoint::Name(host, port) => {
                let addresses = tokio::net::lookup_host((host.as_str(), *port)).await;
                let addresses = addresses.map_err(|source| DialError::Resolve { server: name(), source })?;
                eyeballs::connect(&server.url, addresses.collect(), self.connect_timeout).await
            }
        };
        let socket = stream.map_err(failed)?;
        sockets::tune(&socket, self.keepalive).map_err(failed)?;
        Ok(Socket::Tcp(socket))
    }

    /// The name that the server's certificate must have.
    fn name(&self, url: &ServerUrl) -> Result<ServerName<'static>, DialError> {
        match (&self.server_name, &url.place) {
            (Some(name), _) => Ok(name.clone()),
            (None, Place::Tcp { host, .. }) => {
                ServerName::try_from(host.clone()).map_err(|error| tls_failed(url, io::Error::other(error)))
            }
            (None, Place::Unix(_)) => Err(tls_failed(url, io::Error::other("a unix socket has no name"))),
        }
    }
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
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}
