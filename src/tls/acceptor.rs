//! The server side's TLS settings.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};

use super::certificates::{CertificateError, CertificateTable};
use super::development::DEVELOPMENT_NAMES;
use crate::config::{TlsConfig, TlsVersion};

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
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsAcceptor {
    /// With fresh ticket keys.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            tickets: aws_lc_rs::Ticketer::new()?,
        })
    }

    /// The cryptography in use.
    #[must_use]
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// Reads the certificates that `config` names.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(&self, config: &TlsConfig) -> Result<CertificateTable, CertificateError> {
        CertificateTable::load(&config.certificates, &self.provider)
    }

    /// A certificate made now, for [`DEVELOPMENT_NAMES`].
    ///
    /// # Panics
    /// When the system has no randomness to give; it had some for the ticket keys.
    #[must_use]
    pub fn self_signed(&self) -> CertificateTable {
        let made = rcgen::generate_simple_self_signed(DEVELOPMENT_NAMES.map(String::from).to_vec())
            .expect("the names are valid and there is randomness");
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        CertificateTable::single(vec![made.cert.der().clone()], key, &self.provider)
            .expect("the key was made for the certificate")
    }

    /// A server config that serves `certificates`.
    ///
    /// # Panics
    /// Never: the versions asked for are ones that the provider has.
    #[must_use]
    pub fn with_certificates(&self, config: &TlsConfig, certificates: CertificateTable) -> Arc<ServerConfig> {
        let versions = match config.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .expect("aws-lc-rs has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        server.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
        // For the record layer; they do not leave the process.
        server.enable_secret_extraction = true;
        server.ticketer = Arc::clone(&self.tickets);
        server.send_tls13_tickets = TICKETS;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Arc::new(server)
    }
}
