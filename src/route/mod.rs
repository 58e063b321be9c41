//! Routes: what becomes of a request, and under which policy. A route knows nothing of sockets.

mod path;
mod prefix;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use http::header::HOST;

use self::table::RouteTable;
use crate::config::{
    Config, DEFAULT, FieldChanges, ForwardedPolicy, OriginPattern, PathPrefix, RedirectConfig, RespondConfig,
    RouteConfig, UpgradeProtocol,
};
use crate::observe::labels::HeadPolicy;
use crate::observe::metrics::{Metrics, RouteSeries};
use crate::upstream::{InUse, LoadContext, RootsError, Server, Upstream};

pub use self::prefix::AmbiguousPrefix;
pub use self::table::NoRoute;

/// What becomes of a route's requests.
#[derive(Debug)]
pub enum Action {
    /// The servers that answer them.
    Forward(Arc<Upstream>),
    /// headpin answers by itself.
    Respond(RespondConfig),
    /// Clients are sent elsewhere.
    Redirect(RedirectConfig),
}

/// What becomes of requests, and what they may take.
#[derive(Debug)]
pub struct Route {
    /// Its name in series and in the log.
    pub name: String,
    /// What becomes of them.
    pub action: Action,
    /// What becomes of its tunnels' heads; `None` is as the worker has it.
    pub head_policy: Option<HeadPolicy>,
    /// The longest pause within a request's body.
    pub body_timeout: Duration,
    /// The longest silence before the head of a response.
    pub response_timeout: Duration,
    /// Silence after which its tunnels are closed.
    pub idle_timeout: Option<Duration>,
    /// The largest body of a request, in bytes.
    pub max_body: Option<u64>,
    /// What becomes of `Forwarded` and `X-Forwarded-*` from the client.
    pub forwarded: ForwardedPolicy,
    /// Whether its requests may become WebSockets.
    pub websocket: bool,
    /// Protocols other than WebSocket that its requests may switch to.
    pub upgrades: Box<[UpgradeProtocol]>,
    /// Whose pages may open WebSockets; `None` is everybody's.
    pub origins: Option<Box<[OriginPattern]>>,
    /// Changes to requests for the upstream.
    pub request_headers: Option<FieldChanges>,
    /// Changes to responses for the client.
    pub response_headers: Option<FieldChanges>,
    /// What the path begins with, and what that becomes for the upstream.
    replace_prefix: Option<(PathPrefix, PathPrefix)>,
    /// A later config does not have it.
    is_gone: AtomicBool,
    /// Its series; `None` for the one route of a config without routes, which are those of the whole proxy.
    pub series: Option<RouteSeries>,
}

impl Route {
    fn new(config: &Config, route: &RouteConfig, action: Action, metrics: &Metrics) -> Self {
        let http = &config.http;
        let name = route.name();
        let upstream_timeout = match &action {
            Action::Forward(upstream) => upstream.config.response_timeout,
            Action::Respond(_) | Action::Redirect(_) => config.upstream.response_timeout,
        };
        let from = route
            .path
            .clone()
            .unwrap_or_else(|| "/".parse().expect("the root is a path"));
        Self {
            action,
            head_policy: route.head_policy,
            body_timeout: route.body_timeout.unwrap_or(http.body_timeout),
            response_timeout: route.response_timeout.unwrap_or(upstream_timeout),
            idle_timeout: route.idle_timeout.unwrap_or(config.tunnel.idle_timeout),
            max_body: route.max_body.map(|most| most.bytes() as u64),
            forwarded: route.forwarded.unwrap_or(http.forwarded),
            websocket: route.websocket,
            upgrades: route.upgrades.as_ref().unwrap_or(&http.upgrades).as_slice().into(),
            origins: route.origins.as_ref().map(|origins| origins.as_slice().into()),
            request_headers: route.request_headers.clone(),
            response_headers: route.response_headers.clone(),
            is_gone: AtomicBool::new(false),
            replace_prefix: route.replace_prefix.clone().map(|to| (from, to)),
            series: (!config.routes.is_empty()).then(|| metrics.routes.route(&name)),
            name,
        }
    }

    /// Where its requests are forwarded to, if they are.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.action {
            Action::Forward(upstream) => Some(upstream),
            Action::Respond(_) | Action::Redirect(_) => None,
        }
    }

    /// Whether a later config does not have it: its tunnels are to go.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// No config has it any more.
    pub fn set_gone(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }

    /// Whether a page of `origin`, as its browser says, may open a WebSocket.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        let origins = self.origins.as_ref();
        origins.is_none_or(|origins| origins.iter().any(|allowed| allowed.is(origin)))
    }

    /// One that no config has, for a tunnel that took it.
    fn gone(name: &str, metrics: &Metrics) -> Self {
        let made = Self::without_series(name, metrics);
        made.set_gone();
        made
    }

    fn without_series(name: &str, metrics: &Metrics) -> Self {
        let action = Action::Respond(RespondConfig::default());
        let mut made = Self::new(&Config::default(), &RouteConfig::default(), action, metrics);
        name.clone_into(&mut made.name);
        made
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("empty");
        Self::without_series(name, &metrics)
    }
}

/// Every route of a config, and every upstream.
#[derive(Debug)]
pub struct Routes {
    table: RouteTable,
    by_name: BTreeMap<String, Arc<Route>>,
    upstreams: BTreeMap<String, Arc<Upstream>>,
    metrics: Arc<Metrics>,
}

impl Routes {
    /// The routes of `config`. What is known of servers that `previous` has as well is kept.
    ///
    /// # Errors
    /// When an upstream's https servers cannot be spoken to.
    pub fn load(config: &Config, context: &LoadContext<'_>, previous: Option<&Self>) -> Result<Self, RootsError> {
        let mut upstreams = BTreeMap::new();
        let mut all: Vec<_> = config.all_upstreams().collect();
        if all.is_empty() && config.routes.is_empty() {
            // The embedded default, until its server is known.
            all.push((DEFAULT, &config.upstream));
        }
        for (name, upstream) in all {
            let before = previous.and_then(|previous| previous.upstreams.get(name));
            let loaded = Upstream::load(name, upstream, context, before.map(|before| &**before))?;
            upstreams.insert(name.to_owned(), Arc::new(loaded));
        }
        let everything = [RouteConfig {
            upstream: Some(DEFAULT.to_owned()),
            ..RouteConfig::default()
        }];
        let routes = match &config.routes[..] {
            [] => &everything[..],
            routes => routes,
        };
        let mut table = RouteTable::default();
        let mut by_name = BTreeMap::new();
        for route in routes {
            let action = match (&route.upstream, &route.respond, &route.redirect) {
                (Some(name), ..) => match upstreams.get(name) {
                    Some(upstream) => Action::Forward(Arc::clone(upstream)),
                    None => unreachable!("a checked config has the upstreams that its routes name"),
                },
                (None, Some(respond), _) => Action::Respond(respond.clone()),
                (None, None, Some(redirect)) => Action::Redirect(redirect.clone()),
                (None, None, None) => unreachable!("a checked config's routes have an action"),
            };
            let made = Arc::new(Route::new(config, route, action, context.metrics));
            by_name.insert(made.name.clone(), Arc::clone(&made));
            table.insert(route.host.as_ref(), route.path.as_ref(), made);
        }
        Ok(Self {
            table,
            by_name,
            upstreams,
            metrics: Arc::clone(context.metrics),
        })
    }

    /// The route that `request` takes: by the host of its target, or else of its Host, and by its path.
    ///
    /// # Errors
    /// Why it has none.
    pub fn of<B>(&self, request: &Request<B>) -> Result<&Arc<Route>, NoRoute> {
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => {
                let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
                host.unwrap_or_default()
            }
        };
        self.table.find(host, request.uri().path())
    }

    /// Whether a route pins heads whatever the policy says.
    #[must_use]
    pub fn pin_some(&self) -> bool {
        self.by_name
            .values()
            .any(|route| route.head_policy == Some(HeadPolicy::Pin))
    }

    /// The route of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Route>> {
        self.by_name.get(name)
    }

    /// Where a tunnel goes on that was handed over: the route that it took, and a place in its server. What this config does not
    /// have is gone, and the tunnel treated like any other whose route or server is gone.
    #[must_use]
    pub fn place_of(&self, route: &str, upstream: &str, server: (&str, &str)) -> (Arc<Route>, InUse) {
        let (url, tag) = server;
        let known = self.upstream(upstream).and_then(|upstream| {
            let set = upstream.servers();
            let same_url = || set.servers.iter().filter(|server| server.url.to_string() == url);
            // A name may have other addresses by now; the tunnel is at one of them, or at one that is gone from it.
            same_url().find(|server| server.tag == tag).cloned()
        });
        let server = known.unwrap_or_else(|| Server::gone(upstream, url));
        let route = match self.by_name(route) {
            Some(route) if route.upstream().is_some() => Arc::clone(route),
            _ => Arc::new(Route::gone(route, &self.metrics)),
        };
        (route, server.occupy())
    }

    /// Every upstream, by name.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// The upstream of this name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name)
    }

    /// Shows the servers of all upstreams in the metrics, in the place of those of `previous`.
    pub fn put_in_force(&self, previous: Option<&Self>) {
        for (name, upstream) in &self.upstreams {
            let before = previous.and_then(|previous| previous.upstreams.get(name));
            upstream.put_in_force(before.map(|before| &**before));
        }
        for (name, upstream) in previous.iter().flat_map(|previous| &previous.upstreams) {
            if !self.upstreams.contains_key(name) {
                upstream.retire();
            }
            let stays = |url| {
                let now = self.upstreams.get(name);
                now.is_some_and(|now| now.config.servers.iter().any(|server| server.url == url))
            };
            for server in &upstream.config.servers {
                if !stays(server.url.clone()) {
                    self.metrics.upstreams.remove(name, &server.url.to_string());
                }
            }
        }
    }
}
