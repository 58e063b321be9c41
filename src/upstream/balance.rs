//! Which server is tried next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::Instant;

use crate::config::ServerUrl;
use crate::metrics::Metrics;

/// One server of the config and how it has been lately.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) url: ServerUrl,
    /// Milliseconds of the balancer's clock until which it is passed over; 0 if it is not.
    down_until: AtomicU64,
    up: IntGauge,
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
    pub(super) fn new(servers: &[ServerUrl], down_for: Duration, metrics: &Metrics) -> Self {
        // Servers of an earlier config are gone.
        metrics.upstream_server_up.reset();
        let server = |url: &ServerUrl| {
            let up = metrics.upstream_server_up.with_label_values(&[&url.to_string()]);
            up.set(1);
            Server {
                url: url.clone(),
                down_until: AtomicU64::new(0),
                up,
            }
        };
        Self {
            servers: servers.iter().map(server).collect(),
            next: AtomicUsize::new(0),
            started: Instant::now(),
            down_for,
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

    pub(super) fn failed(&self, server: &Server) {
        let until = self.now() + u64::try_from(self.down_for.as_millis()).unwrap_or(u64::MAX);
        server.down_until.store(until, Ordering::Relaxed);
        server.up.set(0);
    }

    pub(super) fn succeeded(&self, server: &Server) {
        if server.down_until.swap(0, Ordering::Relaxed) != 0 {
            server.up.set(1);
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
        let balancer = Balancer::new(&urls, Duration::from_secs(5), &metrics);
        assert_eq!(order(&balancer), [1, 2, 3]);
        assert_eq!(order(&balancer), [2, 3, 1]);
        balancer.failed(&balancer.servers[2]);
        assert_eq!(order(&balancer), [1, 2, 3]);
        assert_eq!(order(&balancer), [1, 2, 3]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(order(&balancer), [2, 3, 1]);
    }
}
