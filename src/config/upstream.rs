//! `[upstream]` and `[upstreams.NAME]`: servers that stand for one another, and how they are chosen and dialled.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use headpin_labels::labels;
use headpin_settings::kind::{
    LONGEST, SHORTEST, choice, count, duration, file, flag, inline_table, list, optional, or_off, parsed, positive,
    text, text_or_table,
};
use headpin_settings::settings;

use super::field::FieldValue;
use super::hash_on::{CookieName, HashOn};
use super::path_prefix::PathPrefix;
use super::server_url::ServerUrl;
use super::status_range::StatusRange;
use super::tls_name::TlsName;

const SERVERS: &str = r#"["http://127.0.0.1:9001"]"#;
const SERVER: &str =
    r#"a URL such as "http://host:port" or "https://host:port", without a path, or "unix:/path/of/a/socket""#;
const SERVER_TABLE: &str = r#"{ url = "http://host:port", weight = 2 }"#;
const HEALTH: &str = r#"{ path = "/healthz" }"#;
const HASH_ON: &str = r#""client_address", "header:NAME" or "cookie:NAME""#;
const COOKIE: &str = r#"the name of a cookie such as "headpin_server""#;
const NAME: &str = r#"a DNS name such as "app.example", or an address"#;
const STATUS: &str = r#"a status such as "200", or a range such as "200-399""#;
const PATH: &str = r#"a path such as "/healthz", without a query"#;
const HOST: &str = r#"a host such as "app.example""#;

/// As many ports as an address has.
const MAX_POOL_MAX_IDLE: usize = 65_536;
/// More weight than any server has over another.
const MAX_WEIGHT: usize = 1000;
/// Far above what one server takes; more is a slip.
const MAX_CONNECTIONS: usize = 1 << 30;
/// More servers than a request should try.
const MAX_RETRIES: usize = 10;

labels! {
    /// How the next server is chosen.
    Balance {
        /// One after another, by weight.
        RoundRobin = "round_robin",
        /// The one with the fewest requests and tunnels for its weight.
        LeastConnections = "least_connections",
        /// The one of two random ones with fewer requests and tunnels for its weight.
        RandomTwo = "random_two",
        /// The same one for the same client, header or cookie.
        Hash = "hash",
    }
}

settings! {
    /// Servers that stand for one another, and how they are chosen and dialled.
    pub struct UpstreamConfig {
        /// The servers: http or https, host, and a port if it is not the scheme's own; no path; or a unix socket; each once. In
        /// full, a server is a table with a weight and a bound on its connections.
        servers: Vec<UpstreamServer> = list(text_or_table(parsed::<ServerUrl>(SERVER), SERVER_TABLE, UpstreamServer::new, UpstreamServer::short), SERVERS)
            .not_empty().each_once("server"), required(SERVERS), at_reload;
        /// How the next server is chosen: "round_robin" one after another; "least_connections" the one with the fewest requests
        /// and tunnels; "random_two" the one of two random ones that has fewer; "hash" the same one for what hash_on says, of
        /// which few change their server when servers come and go. Each goes by weight.
        balance: Balance = choice(), default(Balance::RoundRobin), at_reload;
        /// What "hash" goes by: "client_address", "header:NAME" or "cookie:NAME". Requests without it take their turn.
        hash_on: HashOn = parsed::<HashOn>(HASH_ON), default(HashOn::ClientAddress), at_reload;
        /// A cookie of this name is given to each client that has none, and brings its requests to the same server for as long
        /// as that is up: Socket.IO's polling and its upgrade need that. Left out: no cookie.
        sticky_cookie: Option<CookieName> = optional(parsed::<CookieName>(COOKIE)), left_out(r#""headpin_server""#), at_reload;
        /// From dialling a server to a connection that can be used, TLS included; then the server counts as down.
        connect_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(5)), at_reload;
        /// The same over all servers that are tried for one request; then the answer is 504.
        dial_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(15)), at_reload;
        /// The longest silence between a request and its response's head; then the answer is 504. With the default slow
        /// reports are waited for, and a hung server is not.
        response_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(60)), at_reload;
        /// How long a connection without a request is kept for the next one.
        pool_idle_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(60)), at_reload;
        /// Connections without a request that a worker keeps for each server; more are closed. 0 keeps none.
        pool_max_idle: usize = count(0..=MAX_POOL_MAX_IDLE), default(64), at_reload;
        /// How long a server is passed over when it cannot be reached, or has failed eject_after times in a row; "0s": not at
        /// all. The default is short enough for a restart. The time doubles each time, until the server answers.
        down_for: Duration = duration(Duration::ZERO..=LONGEST), default(Duration::from_secs(5)), at_reload;
        /// The longest that a server is passed over after many failures.
        down_for_max: Duration = duration(Duration::ZERO..=LONGEST), default(Duration::from_secs(60)), at_reload;
        /// Failed requests in a row after which a server is passed over, or "off". A request has failed when its answer does not
        /// come in time, breaks off, or is 502, 503 or 504. A server that cannot be connected to is passed over at once.
        eject_after: Option<NonZeroUsize> = or_off(positive(1_000_000)), default(NonZeroUsize::new(5)), at_reload;
        /// The share of the servers, in percent, that may be passed over for their answers at the same time; one always may. Those
        /// past it are tried in turn: the whole load would bring down the last servers too. A server that cannot be connected to
        /// is passed over in any case.
        eject_share: usize = count(0..=100), default(50), at_reload;
        /// How long a server that comes back takes to get to its whole share of the requests, or "off".
        slow_start: Option<Duration> = or_off(duration(SHORTEST..=LONGEST)), default(None), at_reload;
        /// How often a request that may be repeated goes to another server after one broke off without an answer. A request for
        /// which no connection came about always goes to the next.
        retries: usize = count(0..=MAX_RETRIES), default(1), at_reload;
        /// Requests that may be such a repetition, in percent of all; the first ten of an upstream are free.
        retry_budget: usize = count(0..=100), default(20), at_reload;
        /// Requests that wait at once for a place, where every server has as many as max_connections says. More are answered 503.
        queue: usize = count(0..=1_000_000), default(100), at_reload;
        /// How long such a request waits; then it is answered 503.
        queue_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(1)), at_reload;
        /// Active checks of each server. Left out: none.
        health: Option<HealthConfig> = optional(inline_table::<HealthConfig>(HEALTH)), left_out(HEALTH), at_reload;
        /// Whether the tunnels of a server that leaves the config, or the addresses of its name, are closed with 1012. With
        /// false they stay for as long as both ends want.
        close_tunnels_of_gone_servers: bool = flag(), default(false), at_reload;
        /// PEM file with the roots that https servers are checked against. Left out: the system's.
        ca: Option<PathBuf> = optional(file(None)), left_out(r#""../certs/ca.pem""#), at_reload;
        /// PEM file with the chain that https servers are shown, headpin's own certificate first; with client_key. Left out: none.
        client_cert: Option<PathBuf> = optional(file(None)), left_out(r#""../certs/client.pem""#), at_reload;
        /// PEM file with the key of client_cert.
        client_key: Option<PathBuf> = optional(file(None)), left_out(r#""../certs/client-key.pem""#), at_reload;
        /// The name that https servers are asked for, and that their certificates must have. Left out: the host of the URL.
        server_name: Option<TlsName> = optional(parsed::<TlsName>(NAME)), left_out(r#""app.example""#), at_reload;
    }
}

settings! {
    /// A server.
    pub struct UpstreamServer {
        /// Where it is.
        url: ServerUrl = parsed::<ServerUrl>(SERVER), required(r#""http://127.0.0.1:9001""#), at_reload;
        /// Its share of the requests beside the other servers'.
        weight: usize = count(1..=MAX_WEIGHT), default(1), at_reload;
        /// Requests and tunnels that it has at once, in all workers together, or "off". Past that, another server is taken, or
        /// the request waits.
        max_connections: Option<NonZeroUsize> = or_off(positive(MAX_CONNECTIONS)), default(None), at_reload;
    }
}

settings! {
    /// How servers are checked.
    pub struct HealthConfig {
        /// The path that is asked for. Left out: a connection is enough, with TLS where the server has it.
        path: Option<PathPrefix> = optional(parsed::<PathPrefix>(PATH)), left_out(r#""/healthz""#), at_reload;
        /// From one check to the next.
        interval: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(5)), at_reload;
        /// How long a check may take.
        timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(2)), at_reload;
        /// Checks in a row that fail before a server is unhealthy.
        fall: NonZeroUsize = positive(1000), default(NonZeroUsize::new(3).expect("not zero")), at_reload;
        /// Checks in a row that succeed before it is healthy again.
        rise: NonZeroUsize = positive(1000), default(NonZeroUsize::new(2).expect("not zero")), at_reload;
        /// The statuses that are good.
        status: StatusRange = parsed::<StatusRange>(STATUS), default(StatusRange::GOOD), at_reload;
        /// What must be in the first 64 KiB of the body. Left out: anything.
        body: Option<String> = optional(text("ok")), left_out(r#""ok""#), at_reload;
        /// The Host of the request. Left out: the server's.
        host: Option<FieldValue> = optional(parsed::<FieldValue>(HOST)), left_out(r#""app.example""#), at_reload;
    }
}

impl UpstreamServer {
    /// The server at `url`, as it is when a config says no more.
    #[must_use]
    pub fn new(url: ServerUrl) -> Self {
        Self { url, ..Self::default() }
    }

    fn short(&self) -> Option<ServerUrl> {
        (*self == Self::new(self.url.clone())).then(|| self.url.clone())
    }
}
