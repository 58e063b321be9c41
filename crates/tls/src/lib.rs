//! TLS whose plaintext is carved from slabs.
//!
//! ```text
//!  socket ─► ciphertext, read into the slab ─► Session ─┬─ rustls: handshakes, and TLS 1.2 for as long as it lasts
//!                                                       └─ records: TLS 1.3, opened where it lies
//!         ◄─ ciphertext, sealed into the worker's scratch ◄─ plaintext of relays and of HTTP
//! ```
//!
//! Between polls a connection holds only the ciphertext of a partial record and the rest of a blocked write, both of
//! exactly their size.

mod acceptor;
mod contexts;
mod error;
mod fault;
mod outgoing;
mod pieces;
mod records;
mod secret;
mod session;
mod side;
mod state;
mod stream;
mod tap;
mod tickets;
mod traffic;
mod unbuffered;

pub use acceptor::TlsAcceptor;
pub use contexts::Contexts;
pub use error::HandshakeError;
#[doc(hidden)]
pub use fault::Fault;
pub use outgoing::Outgoing;
pub use session::Session;
pub use side::{Client, Server, Side, Tickets};
pub use state::StreamState;
pub use stream::{SlabStream, TlsBuffers};
pub use tap::secret_tap;
pub use tickets::{TICKET_KEY, TicketKeys, TicketKeysState};

#[cfg(any(test, feature = "fuzzing"))]
mod tests;

/// Plays `bytes` as traffic to the record layer and to that of rustls.
///
/// # Panics
/// If they make different things of it.
#[cfg(feature = "fuzzing")]
pub fn fuzz_records(bytes: &[u8]) {
    tests::differential::fuzz_one(bytes);
}
