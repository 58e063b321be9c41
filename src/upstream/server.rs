//! One server, and a place in it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::ServerState;
use crate::config::{Place, ServerUrl, UpstreamServer};

/// Where a server is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The first address is the server's own. Others are of the other family, by the same name, and are tried beside it.
    Addresses(Vec<SocketAddr>),
    /// A name that is not resolved yet, or cannot be: each connection asks the system.
    Name(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Of a server that has no name, or whose name is not resolved.
    fn of(url: &ServerUrl) -> Self {
        match &url.place {
            Place::Unix(path) => Self::Unix(path.clone()),
            Place::Tcp { host, port } => match host.parse() {
                Ok(ip) => Self::Addresses(vec![SocketAddr::new(ip, *port)]),
                Err(_) => Self::Name(host.clone(), *port),
            },
        }
    }

    /// What tells it from the other addresses of a name.
    fn own(&self) -> Option<SocketAddr> {
        match self {
            Self::Addresses(addresses) => addresses.first().copied(),
            Self::Name(..) | Self::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addresses(addresses) => match addresses.first() {
                Some(address) => address.fmt(f),
                None => Ok(()),
            },
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A server of a config; one whose name has several addresses is several of these.
#[derive(Debug)]
pub struct Server {
    /// As the config has it.
    pub url: ServerUrl,
    /// Where it is connected to.
    pub endpoint: Endpoint,
    /// What a request says that names no host.
    pub host: HeaderValue,
    /// What the sticky cookie says; it does not tell where the server is.
    pub tag: String,
    /// Its share beside the others'.
    pub weight: usize,
    /// Requests and tunnels that it has at once.
    pub max_in_use: Option<NonZeroUsize>,
    /// How it has been.
    pub state: Arc<ServerState>,
    /// Told when a place is free again.
    freed: Arc<Notify>,
}

impl Server {
    /// The server of `config` in the upstream `upstream`, at `endpoint`; `state` is its own if it was there before.
    pub(super) fn new(
        upstream: &str,
        config: &UpstreamServer,
        endpoint: Option<Endpoint>,
        state: Option<Arc<ServerState>>,
        freed: &Arc<Notify>,
    ) -> Self {
        let endpoint = endpoint.unwrap_or_else(|| Endpoint::of(&config.url));
        Self {
            host: HeaderValue::try_from(config.url.authority()).expect("an authority is a header's value"),
            tag: format!("{:016x}", hash(&(upstream, config.url.to_string(), endpoint.own()))),
            url: config.url.clone(),
            endpoint,
            weight: config.weight,
            max_in_use: config.max_connections,
            state: state.unwrap_or_else(|| Arc::new(ServerState::new())),
            freed: Arc::clone(freed),
        }
    }

    /// Whether it is `other`, after a reload or a new answer of the name's server.
    pub(super) fn is_still(&self, url: &ServerUrl, endpoint: &Endpoint) -> bool {
        self.url == *url && self.endpoint.own() == endpoint.own()
    }

    /// A place in it, unless it has as many as it takes.
    pub fn reserve(self: &Arc<Self>) -> Option<InUse> {
        let in_use = &self.state.in_use;
        match self.max_in_use {
            None => return Some(self.occupy()),
            Some(most) => {
                let more = |now| (now < most.get()).then_some(now + 1);
                in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
            }
        }
        Some(InUse {
            server: Arc::clone(self),
        })
    }

    /// A place in it, however many it has: for what is in it already.
    #[must_use]
    pub fn occupy(self: &Arc<Self>) -> InUse {
        self.state.in_use.fetch_add(1, Ordering::Relaxed);
        InUse {
            server: Arc::clone(self),
        }
    }

    /// One that no config has, for a tunnel that still leads there.
    #[must_use]
    pub fn gone(upstream: &str, url: &str) -> Arc<Self> {
        let config = url.parse().map(UpstreamServer::new).unwrap_or_default();
        let server = Self::new(upstream, &config, None, None, &Arc::default());
        server.state.set_gone(true);
        Arc::new(server)
    }

    /// Requests and tunnels for its weight, with one more; the lower, the sooner it is its turn.
    pub(super) fn load(&self, slow_start: Option<Duration>) -> f64 {
        let in_use = self.state.in_use.load(Ordering::Relaxed) + 1;
        in_use as f64 / (self.weight as f64 * self.state.share(slow_start))
    }
}

/// A hash that is the same in every process of this program.
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A place in a server, for one request; given back when this is dropped.
#[derive(Debug)]
pub struct InUse {
    /// Whose it is.
    pub server: Arc<Server>,
}

/// A place in a server, for one tunnel.
#[derive(Debug)]
pub struct InTunnel(InUse);

impl InUse {
    /// A request is about to go to the server.
    pub fn request_begins(&self) -> Instant {
        self.server.state.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(series) = self.server.state.series() {
            series.requests.inc();
        }
        Instant::now()
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        let server = Server::new("test", &UpstreamServer::default(), None, None, &Arc::default());
        Arc::new(server).reserve().expect("it has no bound")
    }

    /// The place is a tunnel's from now on.
    #[must_use]
    pub fn into_tunnel(self) -> InTunnel {
        self.server.state.tunnels.fetch_add(1, Ordering::Relaxed);
        if let Some(series) = self.server.state.series() {
            series.tunnels.inc();
        }
        InTunnel(self)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.server.state.in_use.fetch_sub(1, Ordering::Relaxed);
        if self.server.max_in_use.is_some() {
            self.server.freed.notify_one();
        }
    }
}

impl InTunnel {
    /// Whose it is.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.0.server
    }
}

impl Drop for InTunnel {
    fn drop(&mut self) {
        let state = &self.0.server.state;
        state.tunnels.fetch_sub(1, Ordering::Relaxed);
        if let Some(series) = state.series() {
            series.tunnels.dec();
        }
    }
}
