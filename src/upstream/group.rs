//! An upstream: servers that stand for one another.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::COOKIE;
use http::{HeaderMap, StatusCode};
use rustls::crypto::CryptoProvider;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::balance::{Balancer, Choice, Plan, ServerSet};
use super::budget::RetryBudget;
use super::dial::{DialError, Dialer};
use super::heads::HeadForm;
use super::roots::{RootsError, client_config};
use super::server::{Endpoint, InUse, Server, hash};
use super::state::{causes, words};
use crate::config::{Balance, HashOn, ServerUrl, UpstreamConfig};
use crate::observe::labels::UpstreamFailure;
use crate::observe::metrics::Metrics;

/// Servers that stand for one another: how one is chosen and dialled, what it may take, and which connections are kept.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in routes, series and the log.
    pub name: Arc<str>,
    /// As checked.
    pub config: UpstreamConfig,
    /// Connects to a server.
    pub dialer: Dialer,
    /// Counts the configs that upstreams were made from: connections of another one are not used any more.
    pub generation: u64,
    /// How heads are read and written.
    pub heads: HeadForm,
    balancer: Balancer,
    servers: ArcSwap<ServerSet>,
    budget: RetryBudget,
    /// Told when a place in a full server is free again.
    freed: Arc<Notify>,
    waiting: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// What upstreams are made with.
#[derive(Debug, Clone)]
pub struct LoadContext<'a> {
    /// For the messages to servers.
    pub heads: HeadForm,
    /// For the connections to them.
    pub keepalive: Option<Duration>,
    /// For TLS.
    pub provider: &'a Arc<CryptoProvider>,
    /// Where they are counted.
    pub metrics: &'a Arc<Metrics>,
    /// See [`Upstream::generation`].
    pub generation: u64,
}

impl Upstream {
    /// The upstream `name` of `config`. Servers that `previous` has as well keep what is known of them, and names keep their
    /// addresses.
    ///
    /// # Errors
    /// When https servers cannot be spoken to.
    pub fn load(
        name: &str,
        config: &UpstreamConfig,
        context: &LoadContext<'_>,
        previous: Option<&Self>,
    ) -> Result<Self, RootsError> {
        let tls = client_config(config, context.provider)?;
        let freed = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.freed));
        let known = previous.map(|previous| previous.servers.load_full());
        let known = known.as_ref().map_or(&[][..], |known| &known.servers);
        let mut servers = Vec::new();
        for server in &config.servers {
            let mut of_before = known.iter().filter(|known| known.url == server.url).peekable();
            if of_before.peek().is_none() {
                servers.push(Arc::new(Server::new(name, server, None, None, &freed)));
            }
            servers.extend(of_before.map(|known| {
                let (endpoint, state) = (known.endpoint.clone(), Arc::clone(&known.state));
                Arc::new(Server::new(name, server, Some(endpoint), Some(state), &freed))
            }));
        }
        Ok(Self {
            name: name.into(),
            dialer: Dialer {
                tls,
                server_name: config.server_name.as_ref().map(|name| name.name().clone()),
                connect_timeout: config.connect_timeout,
                keepalive: context.keepalive,
                metrics: Arc::clone(context.metrics),
            },
            generation: context.generation,
            heads: context.heads,
            balancer: Balancer::new(config.balance, config.slow_start),
            servers: ArcSwap::from_pointee(ServerSet::new(servers)),
            budget: RetryBudget::new(config.retry_budget),
            freed,
            waiting: AtomicUsize::new(0),
            metrics: Arc::clone(context.metrics),
            config: config.clone(),
        })
    }

    /// The servers that it has now.
    #[must_use]
    pub fn servers(&self) -> Arc<ServerSet> {
        self.servers.load_full()
    }

    /// How a server is chosen for a request with `headers` from a client at `peer`.
    #[must_use]
    pub fn plan(&self, headers: &HeaderMap, peer: IpAddr) -> Plan {
        self.budget.deposit();
        let mut plan = Plan::default();
        if let Some(name) = &self.config.sticky_cookie {
            plan.tag = cookie(headers, name.as_str()).map(str::to_owned);
        }
        if self.config.balance == Balance::Hash {
            plan.key = match &self.config.hash_on {
                HashOn::ClientAddress => Some(hash(&peer)),
                HashOn::Header(name) => headers.get(name).map(|value| hash(&value.as_bytes())),
                HashOn::Cookie(name) => cookie(headers, name.as_str()).map(|value| hash(&value.as_bytes())),
            };
        }
        plan
    }

    /// A place in the next server of `plan`; waits for one where all are full.
    ///
    /// # Errors
    /// [`DialError::NoServer`] when all were tried, [`DialError::Full`] when no place came free.
    ///
    /// # Cancel safety
    /// Safe: dropped, it has no place.
    pub async fn reserve(&self, plan: &Plan) -> Result<InUse, DialError> {
        match self.balancer.choose(&self.servers.load(), plan) {
            Choice::Place(place) => Ok(place),
            Choice::None => Err(DialError::NoServer),
            Choice::Full => self.wait_for_a_place(plan).await,
        }
    }

    async fn wait_for_a_place(&self, plan: &Plan) -> Result<InUse, DialError> {
        let full = || DialError::Full {
            upstream: self.name.to_string(),
        };
        let _waiting = Waiting::begin(&self.waiting, self.config.queue).ok_or_else(full)?;
        let deadline = Instant::now() + self.config.queue_timeout;
        loop {
            let freed = self.freed.notified();
            match self.balancer.choose(&self.servers.load(), plan) {
                Choice::Place(place) => return Ok(place),
                Choice::None => return Err(DialError::NoServer),
                Choice::Full => timeout_at(deadline, freed).await.map_err(|_| full())?,
            }
        }
    }

    /// When the last server of a request must be connected to.
    #[must_use]
    pub fn dial_deadline(&self) -> Instant {
        Instant::now() + self.config.dial_timeout
    }

    /// Whether a request that broke off without an answer may go to a server that `plan` has not tried; it has been repeated
    /// `earlier` times.
    #[must_use]
    pub fn may_retry(&self, plan: &Plan, earlier: usize) -> bool {
        let is_other = |server: &Arc<Server>| !plan.has_tried(server);
        let has_other = self.servers.load().servers.iter().any(is_other);
        let may = earlier < self.config.retries && has_other && self.budget.withdraw();
        if may {
            self.metrics.upstreams.retries(&self.name).inc();
        }
        may
    }

    /// `server` could not be connected to.
    pub fn note_dial_error(&self, server: &Server, error: &DialError) {
        let Some(failure) = error.failure() else { return };
        tracing::debug!(
            upstream = &*self.name,
            error = error as &dyn std::error::Error,
            "an upstream server failed"
        );
        self.metrics.upstream_failures_total[failure].inc();
        let why = std::error::Error::source(error).map(causes);
        match why {
            Some(why) => server.state.failed(&format!("{}: {why}", words(failure))),
            None => server.state.failed(words(failure)),
        };
        // The bound on the share is for bad answers: a server that cannot be reached serves nobody.
        self.pass_over(server);
    }

    /// `server` answered nothing that can be used.
    pub fn note_failure(&self, server: &Server, failure: UpstreamFailure) {
        self.metrics.upstream_failures_total[failure].inc();
        self.note_bad_answer(server, words(failure));
    }

    /// `server` answered with `status`, in a response that can be used.
    pub fn note_status(&self, server: &Server, status: StatusCode) {
        match status.as_u16() {
            502 => self.note_bad_answer(server, "it answered 502"),
            503 => self.note_bad_answer(server, "it answered 503"),
            504 => self.note_bad_answer(server, "it answered 504"),
            _ => server.state.succeeded(),
        }
    }

    fn note_bad_answer(&self, server: &Server, what: &str) {
        let in_row = server.state.failed(what) as usize;
        if self.config.eject_after.is_none_or(|most| in_row < most.get()) {
            return;
        }
        let set = self.servers.load();
        let down = set.servers.iter().filter(|server| server.state.is_down()).count();
        let most = (set.servers.len() * self.config.eject_share / 100).max(1);
        if down < most {
            self.pass_over(server);
        }
    }

    fn pass_over(&self, server: &Server) {
        if self.config.down_for.is_zero() {
            return;
        }
        server.state.pass_over(self.config.down_for, self.config.down_for_max);
        tracing::info!(upstream = &*self.name, server = %server.url, address = %server.endpoint, "a server is passed over");
    }

    /// The name's server at `url` has `addresses` from now on. Returns whether that changes anything.
    pub fn resolved(&self, url: &ServerUrl, addresses: &[SocketAddr]) -> bool {
        let old = self.servers.load_full();
        let Some(config) = self.config.servers.iter().find(|server| server.url == *url) else {
            return false;
        };
        let endpoints = endpoints(addresses);
        let is_of_name = |server: &&Arc<Server>| server.url == *url;
        let same = old
            .servers
            .iter()
            .filter(is_of_name)
            .map(|server| &server.endpoint)
            .eq(&endpoints);
        if same || endpoints.is_empty() {
            return false;
        }
        let is_draining = |server: &Arc<Server>| server.state.is_draining.load(Ordering::Relaxed);
        let drained = old.servers.iter().filter(is_of_name).any(is_draining);
        let mut servers: Vec<Arc<Server>> = Vec::new();
        for server in &self.config.servers {
            if server.url != *url {
                servers.extend(old.servers.iter().filter(|known| known.url == server.url).cloned());
                continue;
            }
            for endpoint in &endpoints {
                let known = old.servers.iter().find(|known| known.is_still(url, endpoint));
                let state = known.map(|known| Arc::clone(&known.state));
                let server = Server::new(&self.name, config, Some(endpoint.clone()), state, &self.freed);
                // An operator drains the server, and not the addresses that it has at the moment.
                server.state.set_draining(drained);
                self.show(&server);
                server.state.set_gone(false);
                servers.push(Arc::new(server));
            }
        }
        let set = ServerSet::new(servers);
        retire(&old, &set);
        self.servers.store(Arc::new(set));
        // Requests that wait may find a place in a new server.
        self.freed.notify_waiters();
        true
    }

    /// Shows its servers in the metrics, and forgets those that only `previous` has.
    pub fn put_in_force(&self, previous: Option<&Self>) {
        // There from the start, with 0.
        _ = self.metrics.upstreams.retries(&self.name);
        let set = self.servers.load();
        for server in &set.servers {
            self.show(server);
            server.state.set_gone(false);
            if self.config.health.is_none() {
                server.state.forget_checks();
            }
        }
        if let Some(previous) = previous {
            retire(&previous.servers.load(), &set);
        }
    }

    /// No config has it any more.
    pub fn retire(&self) {
        retire(&self.servers.load(), &ServerSet::new(Vec::new()));
    }

    fn show(&self, server: &Server) {
        server
            .state
            .show(self.metrics.upstreams.server(&self.name, &server.url.to_string()));
    }
}

/// Marks the servers of `old` that `new` does not have.
fn retire(old: &ServerSet, new: &ServerSet) {
    for server in &old.servers {
        if !new.servers.iter().any(|other| Arc::ptr_eq(&other.state, &server.state)) {
            server.state.set_gone(true);
        }
    }
}

/// One endpoint for each address of the family that has more of them. Addresses of the other family are tried beside it (RFC
/// 8305): two families are two ways to the same servers, and not twice as many servers.
fn endpoints(addresses: &[SocketAddr]) -> Vec<Endpoint> {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup();
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    let (own, others) = if v6.len() > v4.len() { (v6, v4) } else { (v4, v6) };
    let endpoint = |(at, own): (usize, &SocketAddr)| {
        let other = others.get(at % others.len().max(1));
        Endpoint::Addresses(std::iter::once(*own).chain(other.copied()).collect())
    };
    own.iter().enumerate().map(endpoint).collect()
}

/// The first cookie of this name (RFC 6265 section 4.2.1).
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// Counts those who wait, also when they leave.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let more = |now| (now < most).then_some(now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use headpin_tls::TlsAcceptor;
    use http::HeaderValue;

    use super::*;
    use crate::config::{HttpConfig, UpstreamServer};

    fn config(urls: &[&str]) -> UpstreamConfig {
        UpstreamConfig {
            servers: urls
                .iter()
                .map(|url| UpstreamServer::new(url.parse().unwrap()))
                .collect(),
            ..UpstreamConfig::default()
        }
    }

    fn load(config: &UpstreamConfig, previous: Option<&Upstream>) -> Upstream {
        let metrics = match previous {
            Some(previous) => Arc::clone(&previous.metrics),
            None => Metrics::register(&prometheus::Registry::new()).unwrap(),
        };
        let acceptor = TlsAcceptor::new().unwrap();
        let context = LoadContext {
            heads: HeadForm::new(&HttpConfig::default()),
            keepalive: None,
            provider: acceptor.provider(),
            metrics: &metrics,
            generation: 0,
        };
        let upstream = Upstream::load("test", config, &context, previous).unwrap();
        upstream.put_in_force(previous);
        upstream
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn servers_that_stay_keep_what_is_known_of_them() {
        let before = load(&config(&["http://127.0.0.1:1", "http://127.0.0.1:2"]), None);
        let [one, two] = &before.servers().servers[..] else {
            panic!("two servers")
        };
        let (one, two) = (Arc::clone(&one.state), Arc::clone(&two.state));
        one.failed("as if by a test");
        let after = load(&config(&["http://127.0.0.1:3", "http://127.0.0.1:1"]), Some(&before));
        assert!(Arc::ptr_eq(&after.servers().servers[1].state, &one));
        assert!(two.is_gone.load(Ordering::Relaxed) && !one.is_gone.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn each_address_of_a_name_is_a_server() {
        let upstream = load(&config(&["http://127.0.0.1:1", "http://app.test:2"]), None);
        let url = "http://app.test:2".parse().unwrap();
        let shown = || -> Vec<String> {
            let set = upstream.servers();
            set.servers.iter().map(|server| server.endpoint.to_string()).collect()
        };
        assert_eq!(shown(), ["127.0.0.1:1", "app.test:2"]);
        assert!(upstream.resolved(&url, &addresses(&["192.0.2.2:2", "192.0.2.1:2", "[2001:db8::1]:2"])));
        assert_eq!(shown(), ["127.0.0.1:1", "192.0.2.1:2", "192.0.2.2:2"]);
        let staying = Arc::clone(&upstream.servers().servers[2].state);
        let leaving = Arc::clone(&upstream.servers().servers[1].state);
        assert!(!upstream.resolved(&url, &addresses(&["192.0.2.1:2", "192.0.2.2:2", "[2001:db8::1]:2"])));
        assert!(upstream.resolved(&url, &addresses(&["192.0.2.2:2", "192.0.2.3:2"])));
        assert_eq!(shown(), ["127.0.0.1:1", "192.0.2.2:2", "192.0.2.3:2"]);
        assert!(Arc::ptr_eq(&upstream.servers().servers[1].state, &staying));
        assert!(leaving.is_gone.load(Ordering::Relaxed));
        upstream.set_draining("http://app.test:2", true);
        assert!(upstream.resolved(&url, &addresses(&["192.0.2.4:2"])));
        assert!(upstream.servers().servers[1].state.is_draining.load(Ordering::Relaxed));
        // Nobody has an answer: what was right before is better than nothing.
        assert!(!upstream.resolved(&url, &[]));
    }

    #[tokio::test]
    async fn a_share_of_the_servers_is_never_passed_over_for_bad_answers() {
        let urls: Vec<String> = (1..=4).map(|port| format!("http://127.0.0.1:{port}")).collect();
        let upstream = load(&config(&urls.iter().map(String::as_str).collect::<Vec<_>>()), None);
        let up = || {
            let set = upstream.servers();
            set.servers.iter().filter(|server| server.state.is_up()).count()
        };
        for server in &upstream.servers().servers {
            for _ in 0..5 {
                upstream.note_failure(server, UpstreamFailure::Protocol);
            }
        }
        assert_eq!(up(), 2);
        // Nobody is served by one that cannot be reached.
        for server in &upstream.servers().servers {
            upstream.note_dial_error(server, &DialError::NoServer);
        }
        assert_eq!(up(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_and_not_for_long() {
        let mut config = config(&["http://127.0.0.1:1"]);
        config.servers[0].max_connections = std::num::NonZeroUsize::new(1);
        config.queue = 1;
        let upstream = load(&config, None);
        let plan = Plan::default();
        let place = upstream.reserve(&plan).await.unwrap();
        let waiting = upstream.reserve(&plan);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(
            matches!(upstream.reserve(&plan).await, Err(DialError::Full { .. })),
            "the queue is full"
        );
        drop(place);
        let _place = waiting.await.unwrap();
        let started = Instant::now();
        assert!(matches!(upstream.reserve(&plan).await, Err(DialError::Full { .. })));
        assert_eq!(started.elapsed().as_secs(), config.queue_timeout.as_secs());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; sid=x=y;b=2"));
        headers.append(COOKIE, HeaderValue::from_static("c = 3"));
        assert_eq!(cookie(&headers, "sid"), Some("x=y"));
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "c"), Some("3"));
        assert_eq!(cookie(&headers, "id"), None);
    }
}
