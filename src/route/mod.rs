//! Routes: which upstream a request goes to, and under which policy. A route knows nothing of sockets.

use std::sync::Arc;
use std::time::Duration;

use http::Request;

use crate::config::{Config, ForwardedPolicy, UpgradeProtocol};
use crate::upstream::Upstream;

/// Where a request goes, and what it may take there.
#[derive(Debug)]
pub struct Route {
    /// The servers that answer it.
    pub upstream: Upstream,
    /// The longest pause within a request's body.
    pub body_timeout: Duration,
    /// What becomes of `Forwarded` and `X-Forwarded-*` from the client.
    pub forwarded: ForwardedPolicy,
    /// Protocols other than WebSocket that its requests may switch to.
    pub upgrades: Box<[UpgradeProtocol]>,
}

/// Every route of a config.
#[derive(Debug)]
pub struct Routes {
    /// The config has one, for every request.
    all: Arc<Route>,
}

impl Routes {
    /// The routes of `config`, to `upstream`.
    #[must_use]
    pub fn new(config: &Config, upstream: Upstream) -> Self {
        Self {
            all: Arc::new(Route {
                upstream,
                body_timeout: config.http.body_timeout,
                forwarded: config.http.forwarded,
                upgrades: config.http.upgrades.as_slice().into(),
            }),
        }
    }

    /// The route that `request` takes.
    #[must_use]
    pub fn of<B>(&self, _request: &Request<B>) -> &Arc<Route> {
        &self.all
    }

    /// Shows the servers of all routes in the metrics, in the place of those of an earlier config.
    pub fn put_in_force(&self) {
        self.all.upstream.put_in_force();
    }
}
