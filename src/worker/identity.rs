//! Who is at the other end.

use std::cell::Cell;
use std::net::SocketAddr;

use rustls::{CipherSuite, ProtocolVersion};
use tokio::time::Instant;

use crate::handed::IdentityState;

/// What stays the same for the life of a connection, and for that of its tunnel.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name among all connections and tunnels of the process; never used again.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub since: Instant,
    /// What the TLS handshake came to, once that is done.
    pub tls: Cell<Option<(ProtocolVersion, CipherSuite)>>,
}

impl Identity {
    /// What another process needs to know.
    #[must_use]
    pub fn state(&self) -> IdentityState {
        let tls = self.tls.get();
        IdentityState {
            id: self.id,
            peer: self.peer,
            age: self.since.elapsed(),
            tls: tls.map(|(version, suite)| (version.into(), suite.into())),
        }
    }

    /// The same in another process.
    #[must_use]
    pub fn resume(state: &IdentityState) -> Self {
        let now = Instant::now();
        Self {
            id: state.id,
            peer: state.peer,
            // A clock that does not go back so far has just begun.
            since: now.checked_sub(state.age).unwrap_or(now),
            tls: Cell::new(state.tls.map(|(version, suite)| (version.into(), suite.into()))),
        }
    }
}
