//! Who is at the other end.

use std::cell::Cell;
use std::net::SocketAddr;

use rustls::{CipherSuite, ProtocolVersion};
use tokio::time::Instant;

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
