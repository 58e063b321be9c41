//! `[upstream]`: the servers behind the proxy, and how they are dialled.

use std::path::PathBuf;
use std::time::Duration;

use headpin_settings::kind::{LONGEST, SHORTEST, count, duration, file, list, optional, parsed};
use headpin_settings::settings;

use super::server_url::ServerUrl;

const SERVERS: &str = r#"["http://127.0.0.1:9001"]"#;
const SERVER: &str = r#"a URL such as "http://host:port" or "https://host:port", without a path"#;

/// As many ports as an address has.
const MAX_POOL_MAX_IDLE: usize = 65_536;

settings! {
    /// The servers behind the proxy, and how they are dialled.
    pub struct UpstreamConfig {
        /// The servers behind the proxy: http or https, host, and a port if it is not the scheme's own; no path; each once.
        servers: Vec<ServerUrl> = list(parsed::<ServerUrl>(SERVER), SERVERS).not_empty().each_once("server"), required(SERVERS), at_reload;
        /// From dialling a server to a connection that can be used, TLS included; then the server counts as down.
        connect_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(5)), at_reload;
        /// The longest silence between a request and its response's head; then the answer is 504. With the default slow
        /// reports are waited for, and a hung server is not.
        response_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(60)), at_reload;
        /// How long a connection without a request is kept for the next one.
        pool_idle_timeout: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(60)), at_reload;
        /// Connections without a request that a worker keeps for each server; more are closed. 0 keeps none.
        pool_max_idle: usize = count(0..=MAX_POOL_MAX_IDLE), default(64), at_reload;
        /// How long a server that could not be reached is passed over; "0s": not at all. The default is short enough for a
        /// restart.
        down_for: Duration = duration(Duration::ZERO..=LONGEST), default(Duration::from_secs(5)), at_reload;
        /// PEM file with the roots that https servers are checked against. Left out: the system's.
        ca: Option<PathBuf> = optional(file(None)), left_out(r#""../certs/ca.pem""#), at_reload;
    }
}
