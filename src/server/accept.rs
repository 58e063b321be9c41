//! The accept loop.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::proxy::{WorkerContext, serve_connection};

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
    loop {
        let Ok(permit) = Arc::clone(&worker.shared.connections).acquire_owned().await else {
            // Never closed: nobody does that.
            return;
        };
        match listener.accept().await {
            Ok((socket, peer)) => {
                pause = SHORTEST_PAUSE;
                let connection = serve_connection(Rc::clone(worker), socket, peer, permit);
                worker.http_task_bytes.set(size_of_val(&connection));
                worker.tracker.spawn_local(connection);
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

/// The client was gone before it was accepted (accept(2): these are errors of the new connection).
fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, NetworkDown, NetworkUnreachable, TimedOut};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | NetworkDown | NetworkUnreachable | TimedOut
    )
}
