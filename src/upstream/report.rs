//! What there is to tell of an upstream, for people who look.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::group::Upstream;
use super::server::{Endpoint, Server};

/// An upstream.
#[derive(Debug, Clone, Serialize)]
pub struct UpstreamReport {
    /// Its name.
    pub name: String,
    /// How the next server is chosen.
    pub balance: &'static str,
    /// Its servers; one whose name has several addresses is several.
    pub servers: Vec<ServerReport>,
}

/// A server, at one address.
#[derive(Debug, Clone, Serialize)]
pub struct ServerReport {
    /// As the config has it.
    pub server: String,
    /// Where it is connected to.
    pub address: String,
    /// Its share beside the others'.
    pub weight: usize,
    /// `up`, `down` after failures, `unhealthy` by its checks, `draining`, or `unresolved`.
    pub state: &'static str,
    /// Why it is not up.
    pub why: Option<String>,
    /// Since it is so.
    pub since_seconds: f64,
    /// Requests that it was sent, upgrades included.
    pub requests: u64,
    /// Requests that it failed, and connections that did not come about.
    pub failures: u64,
    /// Requests without a complete response, and tunnels.
    pub in_flight: usize,
    /// Tunnels.
    pub tunnels: usize,
    /// Mean time from a request to the head of its response; the newest counts an eighth.
    pub latency_seconds: f64,
    /// How it last failed.
    pub last_failure: Option<String>,
    /// When.
    pub last_failure_seconds_ago: Option<f64>,
}

impl Upstream {
    /// What there is to tell of it now.
    #[must_use]
    pub fn report(&self) -> UpstreamReport {
        UpstreamReport {
            name: self.name.to_string(),
            balance: self.config.balance.as_str(),
            servers: self.servers().servers.iter().map(|server| report(server)).collect(),
        }
    }

    /// Takes every address of the server at `url` out of turn, or brings it back. Returns how many there are.
    pub fn set_draining(&self, url: &str, draining: bool) -> usize {
        let set = self.servers();
        let named = set.servers.iter().filter(|server| server.url.to_string() == url);
        named.map(|server| server.state.set_draining(draining)).count()
    }
}

fn report(server: &Server) -> ServerReport {
    let state = &server.state;
    let failure = state.last_failure();
    let because = || failure.as_ref().map(|failure| failure.what.clone());
    let (now, why) = if state.is_draining.load(Ordering::Relaxed) {
        ("draining", Some("an operator took it out of turn".to_owned()))
    } else if state.is_unhealthy() {
        ("unhealthy", because())
    } else if state.is_down() {
        ("down", because())
    } else if matches!(server.endpoint, Endpoint::Name(..)) {
        (
            "unresolved",
            Some("its name has no address yet; each connection asks the system".to_owned()),
        )
    } else {
        ("up", None)
    };
    ServerReport {
        server: server.url.to_string(),
        address: server.endpoint.to_string(),
        weight: server.weight,
        state: now,
        why,
        since_seconds: state.since().as_secs_f64(),
        requests: state.requests.load(Ordering::Relaxed),
        failures: state.failures.load(Ordering::Relaxed),
        in_flight: state.in_use.load(Ordering::Relaxed),
        tunnels: state.tunnels.load(Ordering::Relaxed),
        latency_seconds: state.latency().as_secs_f64(),
        last_failure_seconds_ago: failure.as_ref().map(|failure| failure.at.elapsed().as_secs_f64()),
        last_failure: failure.map(|failure| failure.what),
    }
}
