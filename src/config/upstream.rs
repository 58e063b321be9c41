//! `[upstream]`: the servers behind the proxy, and how they are dialled.

use std::path::PathBuf;
use std::time::Duration;

use super::printer::{Printer, quote, quote_path};
use super::section::Section;
use super::server_url::ServerUrl;
use super::source::Entry;
use super::value::{LONGEST, SHORTEST};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_POOL_MAX_IDLE: usize = 64;
const DEFAULT_DOWN_FOR: Duration = Duration::from_secs(5);

/// As many ports as an address has.
const MAX_POOL_MAX_IDLE: usize = 65_536;

const SERVERS_EXAMPLE: &str = r#"["http://127.0.0.1:9001"]"#;

/// The servers behind the proxy, and how they are dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where requests and tunnels go; no server twice. A file has at least one; empty only in the embedded default,
    /// where an echo upstream is started.
    pub servers: Vec<ServerUrl>,
    /// From dialling to a connection that can be written to, TLS included; then the server counts as down. Default
    /// 5 s.
    pub connect_timeout: Duration,
    /// The longest silence between a request and its response's head; then the answer is 504. Default 60 s: slow
    /// reports are waited for, a hung server is not.
    pub response_timeout: Duration,
    /// How long a connection without a request is kept for the next one. Default 60 s.
    pub pool_idle_timeout: Duration,
    /// Connections without a request that a worker keeps for each server; more are closed. Default 64; 0 keeps none.
    pub pool_max_idle: usize,
    /// How long a server that could not be reached is passed over; zero: not at all. Default 5 s: short enough for a
    /// restart.
    pub down_for: Duration,
    /// PEM file with the roots that https servers are checked against. Default `None`: the system's.
    pub ca: Option<PathBuf>,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            response_timeout: DEFAULT_RESPONSE_TIMEOUT,
            pool_idle_timeout: DEFAULT_POOL_IDLE_TIMEOUT,
            pool_max_idle: DEFAULT_POOL_MAX_IDLE,
            down_for: DEFAULT_DOWN_FOR,
            ca: None,
        }
    }
}

impl UpstreamConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let items = section.required_items("servers", SERVERS_EXAMPLE);
        let config = Self {
            servers: read_servers(&section, items),
            connect_timeout: section.duration("connect_timeout", DEFAULT_CONNECT_TIMEOUT, SHORTEST..=LONGEST),
            response_timeout: section.duration("response_timeout", DEFAULT_RESPONSE_TIMEOUT, SHORTEST..=LONGEST),
            pool_idle_timeout: section.duration("pool_idle_timeout", DEFAULT_POOL_IDLE_TIMEOUT, SHORTEST..=LONGEST),
            pool_max_idle: section.count("pool_max_idle", DEFAULT_POOL_MAX_IDLE, 0..=MAX_POOL_MAX_IDLE),
            down_for: section.duration("down_for", DEFAULT_DOWN_FOR, Duration::ZERO..=LONGEST),
            ca: section.path("ca"),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            servers,
            connect_timeout,
            response_timeout,
            pool_idle_timeout,
            pool_max_idle,
            down_for,
            ca,
        } = self;
        printer.section("upstream");
        printer.list("servers", servers.iter().map(|server| quote(&server.to_string())));
        printer.duration("connect_timeout", *connect_timeout);
        printer.duration("response_timeout", *response_timeout);
        printer.duration("pool_idle_timeout", *pool_idle_timeout);
        printer.bare("pool_max_idle", pool_max_idle);
        printer.duration("down_for", *down_for);
        if let Some(path) = ca {
            printer.bare("ca", quote_path(path));
        }
    }
}

/// Reads the URLs, and refuses one that names the same server as an earlier one, however it is written.
fn read_servers(section: &Section<'_>, items: Vec<Entry<'_>>) -> Vec<ServerUrl> {
    let mut servers = Vec::new();
    for item in items {
        let Some(server) = item.value.as_str().and_then(|text| text.parse::<ServerUrl>().ok()) else {
            section.refuse(
                &item,
                r#"a URL such as "http://host:port" or "https://host:port", without a path"#,
            );
            continue;
        };
        if servers.contains(&server) {
            section.refuse(&item, format_args!("each server once; {server} is listed before"));
            continue;
        }
        servers.push(server);
    }
    servers
}
