//! The accept loop.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::ledger;
use crate::proxy::{WorkerContext, spawn_connection};
use crate::sockets;

/// First pause after a failed accept, doubled with each further failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause. Long enough not to spin when file descriptors have run out, short enough to go on soon after.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Accepts connections until the drain begins, then closes the listener.
///
/// The permit is taken before the accept: past `server.max_connections` the kernel's backlog queues, not this process.
pub(super) async fn accept(worker: Rc<WorkerContext>, listener: TcpListener) {
    let draining = worker.draining.clone();
    draining
        .run_until_cancelled(accept_all(&worker, &listener, &draining))
        .await;
}

async fn accept_all(worker: &Rc<WorkerContext>, listener: &TcpListener, draining: &CancellationToken) {
    let mut pause = SHORTEST_PAUSE;
    let mut options = SocketOptions::default();
    options.follow(worker, listener, None);
    // The port of a listener is that of its connections.
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        let Ok(permit) = Arc::clone(&worker.shared.connections).acquire_owned().await else {
            // Never closed: nobody does that.
            return;
        };
        let (accepted, taken) = poll_fn(|cx| {
            let (poll, taken) = ledger::measure(|| listener.poll_accept(cx));
            poll.map(|accepted| (accepted, taken))
        })
        .await;
        match accepted {
            Ok((socket, peer)) => {
                pause = SHORTEST_PAUSE;
                options.follow(worker, listener, Some(&socket));
                spawn_connection(worker, socket, peer, port, permit, taken);
            }
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                worker.shared.metrics.accept_errors_total.inc();
                tracing::warn!(%error, ?pause, "cannot accept");
                draining.run_until_cancelled(tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Sees to the options of accepted sockets, if it can without a system call for each.
#[derive(Default)]
struct SocketOptions {
    /// What the listener has: a value of `server.keepalive`, which a reload changes.
    listener: Option<Option<Duration>>,
}

impl SocketOptions {
    /// Brings listener and `accepted` to the settings in force.
    fn follow(&mut self, worker: &WorkerContext, listener: &TcpListener, accepted: Option<&TcpStream>) {
        let keepalive = worker.shared.settings.load().config.server.keepalive;
        if sockets::INHERITED && self.listener == Some(keepalive) {
            return;
        }
        if let Err(error) = sockets::retune(listener, keepalive) {
            tracing::warn!(%error, "a listener takes no socket options");
        }
        self.listener = Some(keepalive);
        // It fails when the client is gone already: then the handshake finds that out.
        let _ = accepted.map(|socket| sockets::retune(socket, keepalive));
    }
}

/// The client was gone before it was accepted (accept(2): these are errors of the new connection).
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, NetworkDown, NetworkUnreachable, TimedOut};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | NetworkDown | NetworkUnreachable | TimedOut
    )
}
