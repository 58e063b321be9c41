//! The server side's TLS settings.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::tap::secret_tap;
use super::tickets::TicketKeys;

/// Protocols offered by ALPN; a client that insists on HTTP/1.0 names it.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// Tickets for each handshake: one, with which a client that was cut off comes back, and is given the next. rustls's
/// own two are for clients that open two connections where they had one, which with tunnels is rare; making and sending
/// one takes about 3 % of a handshake.
const TICKETS: usize = 1;

/// Makes server configs, all with the same ticket keys, so that a client's ticket outlives a reload.
#[derive(Debug)]
pub struct TlsAcceptor {
    provider: Arc<CryptoProvider>,
    /// Rotates its keys by itself; resumption needs no memory here.
    tickets: Arc<TicketKeys>,
}

impl TlsAcceptor {
    /// With fresh ticket keys.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            tickets: Arc::new(TicketKeys::random()?),
        })
    }

    /// The cryptography in use.
    #[must_use]
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The ticket keys of its own.
    #[must_use]
    pub fn tickets(&self) -> &Arc<TicketKeys> {
        &self.tickets
    }

    /// A server config for clients that speak one of `versions`, with the certificates that `resolver` chooses, and `tickets` if it
    /// is not to use its own.
    ///
    /// # Panics
    /// Never: aws-lc-rs has cipher suites for all versions that rustls has.
    #[must_use]
    pub fn server_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        resolver: Arc<dyn ResolvesServerCert>,
        tickets: Option<Arc<TicketKeys>>,
    ) -> Arc<ServerConfig> {
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .expect("aws-lc-rs has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        server.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        // For the record layer; they do not leave the process.
        server.enable_secret_extraction = true;
        server.key_log = secret_tap();
        server.ticketer = tickets.unwrap_or_else(|| Arc::clone(&self.tickets));
        server.send_tls13_tickets = TICKETS;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Arc::new(server)
    }
}
