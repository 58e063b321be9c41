//! The accept loop.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headpin_ledger as ledger;
use tokio::net::{TcpListener, TcpStream};

use crate::http::{Listener, spawn_connection};
use crate::sockets;
use crate::worker::{Accepting, WorkerContext};

/// First pause after a failed accept, doubled with each further failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause. Long enough not to spin when file descriptors have run out, short enough to go on soon after.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Accepts connections as the worker says, see [`Accepting`].
pub async fn accept(worker: Rc<WorkerContext>, listener: TcpListener) {
    let listener = Rc::new(listener);
    worker.listeners.borrow_mut().push(Rc::downgrade(&listener));
    let mut accepting = worker.accepting.subscribe();
    let facts = Listener {
        scheme: "https",
        // The port of a listener is that of its connections.
        port: listener.local_addr().map_or(0, |address| address.port()),
    };
    loop {
        let now = *accepting.borrow_and_update();
        match now {
            Accepting::Yes => {
                // In this order: nothing is accepted after the change.
                tokio::select! {
                    biased;
                    _ = accepting.changed() => {}
                    () = accept_all(&worker, &listener, facts) => return,
                }
            }
            // The sender is the worker's.
            Accepting::NotNow => drop(accepting.changed().await),
            Accepting::Last => break,
            Accepting::Never => return,
        }
    }
    // Nobody keeps it: it is only looked at.
    let Some(listener) = Rc::into_inner(listener) else {
        return;
    };
    if let Err(error) = accept_backlog(&worker, listener, facts) {
        worker.shared.metrics.accept_errors_total.inc();
        tracing::warn!(%error, "cannot accept what waits in the backlog");
    }
}

/// The permit is taken before the accept: past `server.max_connections` the kernel's backlog queues, not this process.
async fn accept_all(worker: &Rc<WorkerContext>, listener: &TcpListener, facts: Listener) {
    let mut pause = SHORTEST_PAUSE;
    let mut options = SocketOptions::default();
    options.follow(worker, listener, None);
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
                spawn_connection(worker, socket, peer, facts, permit, taken);
            }
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                worker.shared.metrics.accept_errors_total.inc();
                tracing::warn!(%error, ?pause, "cannot accept");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Who has connected by now believes to be served, and closing the listener would reset the connection. Past the limit of
/// connections that cannot be helped.
fn accept_backlog(worker: &Rc<WorkerContext>, listener: TcpListener, facts: Listener) -> io::Result<()> {
    // Asked itself, and not the runtime, which has not heard of the latest.
    let listener = listener.into_std()?;
    while let Ok(permit) = Arc::clone(&worker.shared.connections).try_acquire_owned() {
        let (socket, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if is_peers_fault(&error) => continue,
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        let (socket, taken) = ledger::measure(|| TcpStream::from_std(socket));
        spawn_connection(worker, socket?, peer, facts, permit, taken);
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::LocalSet;

    use super::*;
    use crate::observe::labels::HeadPolicy;
    use crate::worker::Shared;

    #[tokio::test]
    async fn who_waits_in_the_backlog_when_the_drain_begins_is_served() {
        let worker = WorkerContext::new(0, 1, HeadPolicy::Copy, Arc::new(Shared::for_test(2, 1)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        worker.accepting.send_replace(Accepting::Last);
        let serving = async {
            accept(Rc::clone(&worker), listener).await;
            for (number, client) in clients.iter_mut().enumerate() {
                // Only TLS is spoken here, and that is said.
                let asked = client.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
                let mut answer = String::new();
                let answered = client.read_to_string(&mut answer).await;
                let is_served = asked.and(answered).is_ok_and(|_| answer.starts_with("HTTP/1.1 400"));
                assert_eq!(is_served, number < 2, "the third is past the limit: {answer}");
            }
        };
        LocalSet::new().run_until(serving).await;
        assert_eq!(worker.shared.metrics.downstream_connections_total.get(), 2);
    }
}
