//! Which server is tried next.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;
use prometheus::IntGauge;
use tokio::time::Instant;

use crate::config::ServerUrl;
use crate::observe::metrics::Metrics;

/// One server of the config and how it has been lately.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub url: ServerUrl,
    /// What a request says that names no host.
    pub host: HeaderValue,
    /// Its name in the pool of connections: its place among the servers.
    pub(super) key: Authority,
    /// Milliseconds of the balancer's clock until which it is passed over; 0 if it is not.
    down_until: AtomicU64,
    /// Once it is shown.
    up: OnceLock<IntGauge>,
}

impl Server {
    fn note(&self, up: i64) {
        if let Some(gauge) = self.up.get() {
            gauge.set(up);
        }
    }
}

/// Round robin over the servers that did not fail lately; shared by all workers, without a lock.
#[derive(Debug)]
pub(super) struct Balancer {
    servers: Vec<Server>,
    next: AtomicUsize,
    started: Instant,
    down_for: Duration,
}

impl Balancer {
    pub(super) fn new(servers: &[ServerUrl], down_for: Duration) -> Self {
        let server = |(place, url): (usize, &ServerUrl)| Server {
            url: url.clone(),
            host: HeaderValue::try_from(url.authority()).expect("an authority is a header's value"),
            key: Authority::try_from(place.to_string()).expect("a number is a host"),
            down_until: AtomicU64::new(0),
            up: OnceLock::new(),
        };
        Self {
            servers: servers.iter().enumerate().map(server).collect(),
            next: AtomicUsize::new(0),
            started: Instant::now(),
            down_for,
        }
    }

    /// Shows these servers as those in force, and no others.
    pub(super) fn show(&self, metrics: &Metrics) {
        metrics.upstream_server_up.reset();
        for server in &self.servers {
            let up = metrics.upstream_server_up.with_label_values(&[&server.url.to_string()]);
            up.set(i64::from(server.down_until.load(Ordering::Relaxed) == 0));
            // Not set yet: a reload makes a new balancer.
            _ = server.up.set(up);
        }
    }

    /// Every server once, in the order to try them: those that are up in turn, then those that are down, for they may
    /// be back and there is nothing better to try.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Server> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.servers.len();
        let turn = move || (0..count).map(move |i| &self.servers[(first + i) % count]);
        let now = self.now();
        let is_up = move |server: &Server| server.down_until.load(Ordering::Relaxed) <= now;
        turn()
            .filter(move |server| is_up(server))
            .chain(turn().filter(move |server| !is_up(server)))
    }

    /// The server that has this name in the pool.
    pub(super) fn by_key(&self, key: &str) -> Option<&Server> {
        self.servers.get(key.parse::<usize>().ok()?)
    }

    pub(super) fn failed(&self, server: &Server) {
        let until = self.now() + u64::try_from(self.down_for.as_millis()).unwrap_or(u64::MAX);
        server.down_until.store(until, Ordering::Relaxed);
        server.note(0);
    }

    pub(super) fn succeeded(&self, server: &Server) {
        if server.down_until.swap(0, Ordering::Relaxed) != 0 {
            server.note(1);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(balancer: &Balancer) -> Vec<u16> {
        balancer.candidates().map(|server| server.url.port).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_server_is_tried_last_until_its_time_is_over() {
        let metrics = Metrics::register(&prometheus::Registry::new()).expect("empty");
        let urls: Vec<ServerUrl> = (1..=3)
            .map(|port| format!("http://127.0.0.1:{port}").parse().unwrap())
            .collect();
        let balancer = Balancer::new(&urls, Duration::from_secs(5));
        balancer.show(&metrics);
        assert_eq!(order(&balancer), [1, 2, 3]);
        assert_eq!(order(&balancer), [2, 3, 1]);
        balancer.failed(&balancer.servers[2]);
        assert_eq!(order(&balancer), [1, 2, 3]);
        assert_eq!(order(&balancer), [1, 2, 3]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(order(&balancer), [2, 3, 1]);
    }

    /// A config that is read and then refused must not change what is shown of the one in force.
    #[tokio::test]
    async fn only_the_balancer_in_force_is_shown() {
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry).expect("empty");
        let of = |port: u16| {
            let url: ServerUrl = format!("http://127.0.0.1:{port}").parse().unwrap();
            Balancer::new(&[url], Duration::from_secs(5))
        };
        let shown = || {
            let families = registry.gather();
            let family = families
                .iter()
                .find(|family| family.name().ends_with("upstream_server_up"));
            let series = family.expect("a server is shown").get_metric().iter();
            series
                .map(|each| (each.get_label()[0].value().to_owned(), each.get_gauge().get_value()))
                .collect::<Vec<_>>()
        };
        let (first, second) = (of(1), of(2));
        first.show(&metrics);
        second.failed(&second.servers[0]);
        assert_eq!(shown(), [("http://127.0.0.1:1".to_owned(), 1.0)]);
        second.show(&metrics);
        assert_eq!(shown(), [("http://127.0.0.1:2".to_owned(), 0.0)]);
        first.failed(&first.servers[0]);
        second.succeeded(&second.servers[0]);
        assert_eq!(shown(), [("http://127.0.0.1:2".to_owned(), 1.0)]);
    }
}
