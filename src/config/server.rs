//! `[server]`: the listener and the workers behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use super::printer::Printer;
use super::section::Section;
use super::value::{AUTO, LONGEST};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);
const DEFAULT_DRAIN_GRACE: Duration = Duration::from_secs(30);
const DEFAULT_KEEPALIVE: Option<Duration> = Some(Duration::from_secs(60));

/// More threads than this share no machine that exists.
const MAX_WORKERS: usize = 1024;

/// Linux has no more file descriptors than this to give (`fs.nr_open` is 2^20 by default, and may be raised).
const MAX_CONNECTIONS: usize = 1 << 30;

/// What the kernel takes as TCP keepalive idle: whole seconds, up to `MAX_TCP_KEEPIDLE`.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// The listener and the workers behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where clients connect. Takes effect at start.
    pub listen: SocketAddr,
    /// Threads that serve connections, each with its own listener, runtime and slabs. Default: one a core, as a
    /// worker that has work keeps its core busy. Takes effect at start.
    pub workers: NonZeroUsize,
    /// Connections open at once in the process; past that, new ones wait in the kernel's backlog. Default `None`: as
    /// many as the open-files limit allows, since no other number is known to be right. Takes effect at start.
    pub max_connections: Option<NonZeroUsize>,
    /// How long a drain waits for connections to end by themselves; those left then are cut. Default 30 s: what
    /// Kubernetes gives before it kills.
    pub drain_grace: Duration,
    /// Silence on a TCP connection, downstream or upstream, after which the kernel probes the peer, in seconds.
    /// `None`: never. Default 60 s: below the time after which common NATs forget a connection.
    pub keepalive: Option<Duration>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            workers: one_a_core(),
            max_connections: None,
            drain_grace: DEFAULT_DRAIN_GRACE,
            keepalive: DEFAULT_KEEPALIVE,
        }
    }
}

impl ServerConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            listen: section.address("listen", DEFAULT_LISTEN),
            workers: section
                .count_or_auto("workers", 0..=MAX_WORKERS)
                .unwrap_or_else(one_a_core),
            max_connections: section.count_or_auto("max_connections", 1..=MAX_CONNECTIONS),
            drain_grace: section.duration("drain_grace", DEFAULT_DRAIN_GRACE, Duration::ZERO..=LONGEST),
            keepalive: section.duration_or_off("keepalive", DEFAULT_KEEPALIVE, SHORTEST_KEEPALIVE..=LONGEST_KEEPALIVE),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            listen,
            workers,
            max_connections,
            drain_grace,
            keepalive,
        } = self;
        printer.section("server");
        printer.quoted("listen", listen);
        printer.bare("workers", workers);
        match max_connections {
            Some(count) => printer.bare("max_connections", count),
            None => printer.quoted("max_connections", AUTO),
        }
        printer.duration("drain_grace", *drain_grace);
        printer.duration_or_off("keepalive", *keepalive);
    }
}

/// Cores that this process may use; one if the system does not say.
fn one_a_core() -> NonZeroUsize {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    NonZeroUsize::new(MAX_WORKERS).map_or(cores, |most| cores.min(most))
}
