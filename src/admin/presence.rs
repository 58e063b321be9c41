//! Whether this process answers on the admin address, which its successor may do.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Whether the admin endpoints are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// They are.
    Here,
    /// Who is connected is answered. Who connects now waits in the backlog, for this process or for its successor.
    Going,
    /// Who is connected gets the answer under way, and then has to connect again: to the successor.
    Gone,
}

/// Accepts while the endpoints are here.
pub(super) struct PresentListener {
    listener: TcpListener,
    presence: watch::Receiver<Presence>,
}

impl PresentListener {
    pub(super) fn new(listener: TcpListener, presence: watch::Receiver<Presence>) -> Self {
        Self { listener, presence }
    }
}

impl Listener for PresentListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let here = self.presence.wait_for(|presence| *presence == Presence::Here);
            if here.await.is_err() {
                break;
            }
            // In this order: nothing is accepted after the change.
            tokio::select! {
                biased;
                _ = self.presence.changed() => {}
                accepted = Listener::accept(&mut self.listener) => return accepted,
            }
        }
        // Nobody can say any more that they are here again.
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Waits until the endpoints are gone.
pub(super) async fn gone(mut presence: watch::Receiver<Presence>) {
    if presence.wait_for(|presence| *presence == Presence::Gone).await.is_err() {
        std::future::pending().await
    }
}
