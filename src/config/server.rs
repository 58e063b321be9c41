//! `[server]`: the listener and the workers behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use headpin_settings::kind::{LONGEST, address, auto_count, duration, or_auto, or_off, parsed, positive};
use headpin_settings::settings;

use super::handover_socket::HandoverSocket;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// More threads than this share no machine that exists.
const MAX_WORKERS: usize = 1024;

/// Linux has no more file descriptors than this to give (`fs.nr_open` is 2^20 by default, and may be raised).
const MAX_CONNECTIONS: usize = 1 << 30;

/// What the kernel takes as TCP keepalive idle: whole seconds, up to `MAX_TCP_KEEPIDLE`.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

const HANDOVER: &str = r#""auto", "off", or the absolute path of a socket, of at most 96 bytes"#;

settings! {
    /// The listener and the workers behind it.
    pub struct ServerConfig {
        /// Where clients connect: IP address and port. Several processes of one user may listen here at once, each with its
        /// own admin.listen: the kernel spreads new connections over all their workers. One process holds about half as many
        /// connections as it may open files.
        listen: SocketAddr = address(LISTEN), default(LISTEN), at_start;
        /// Threads that serve connections, 1 to 1024; each has its own listener, runtime and slabs. "auto" or 0: one a core,
        /// as a worker that has work keeps its core busy.
        workers: NonZeroUsize = auto_count(MAX_WORKERS, one_a_core), default(one_a_core()), at_start;
        /// Connections open at once in the process. "auto": as many as the open-files limit allows. Past that, new ones
        /// wait in the kernel's backlog.
        max_connections: Option<NonZeroUsize> = or_auto(positive(MAX_CONNECTIONS)), default(None), at_start;
        /// How long a drain waits for connections to end by themselves; those left then are cut. The default is what
        /// Kubernetes gives before it kills.
        drain_grace: Duration = duration(Duration::ZERO..=LONGEST), default(Duration::from_secs(30)), at_reload;
        /// Where a successor comes to, to which this process hands over all connections (docs/upgrade.md): the absolute path of a
        /// unix socket, "auto" or "off". "auto": handover.sock in the folder that systemd's RuntimeDirectory= makes for the
        /// service; without one, none. SIGUSR2 starts a successor in any case.
        handover: HandoverSocket = parsed::<HandoverSocket>(HANDOVER), default(HandoverSocket::Auto), at_start;
        /// Silence on a TCP connection, on both sides, after which the kernel probes the peer: whole seconds, or "off". The
        /// default is below the time after which common NATs forget a connection.
        keepalive: Option<Duration> = or_off(duration(SHORTEST_KEEPALIVE..=LONGEST_KEEPALIVE)),
            default(Some(Duration::from_secs(60))), at_reload;
    }
}

/// Cores that this process may use; one if the system does not say.
fn one_a_core() -> NonZeroUsize {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    NonZeroUsize::new(MAX_WORKERS).map_or(cores, |most| cores.min(most))
}
