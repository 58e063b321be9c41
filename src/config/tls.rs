//! `[tls]`: certificates, and how clients shake hands.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::printer::{Printer, quote_path};
use super::section::Section;
use super::value::{LONGEST, SHORTEST};

const DEFAULT_MIN_VERSION: TlsVersion = TlsVersion::V1_2;
const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

const CERTIFICATES_EXAMPLE: &str = r#"[{ cert = "localhost.pem", key = "localhost-key.pem" }]"#;
const CERTIFICATE_EXAMPLE: &str = r#"{ cert = "localhost.pem", key = "localhost-key.pem" }"#;
const CERT_EXAMPLE: &str = r#""localhost.pem""#;
const KEY_EXAMPLE: &str = r#""localhost-key.pem""#;

/// Certificates, and how clients shake hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// What clients may be shown; the server name that a client asks for chooses, the first is for all others. A file
    /// has at least one; empty only in the embedded default, where a certificate is made at start.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest protocol version that is spoken; a client that knows only older ones fails its handshake. Default
    /// 1.2: still common, and sound with the cipher suites rustls has.
    pub min_version: TlsVersion,
    /// From the accepted connection to the end of its handshake; then it is cut. Default 10 s: several round trips on
    /// a bad line, and short for one who opens connections to hold them.
    pub handshake_timeout: Duration,
}

/// The two PEM files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key of the chain's first certificate.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            min_version: DEFAULT_MIN_VERSION,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
        }
    }
}

impl TlsConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let items = section.required_items("certificates", CERTIFICATES_EXAMPLE);
        let config = Self {
            certificates: items
                .into_iter()
                .filter_map(|item| CertificateFiles::read(section.of_item(item, CERTIFICATE_EXAMPLE)))
                .collect(),
            min_version: section.choice("min_version", DEFAULT_MIN_VERSION, &TlsVersion::ALL, TlsVersion::as_str),
            handshake_timeout: section.duration("handshake_timeout", DEFAULT_HANDSHAKE_TIMEOUT, SHORTEST..=LONGEST),
        };
        section.finish();
        config
    }

    pub(super) fn print(&self, printer: &mut Printer) {
        let Self {
            certificates,
            min_version,
            handshake_timeout,
        } = self;
        printer.section("tls");
        printer.list(
            "certificates",
            certificates.iter().map(|CertificateFiles { cert, key }| {
                format!("{{ cert = {}, key = {} }}", quote_path(cert), quote_path(key))
            }),
        );
        printer.quoted("min_version", min_version);
        printer.duration("handshake_timeout", *handshake_timeout);
    }
}

impl CertificateFiles {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let cert = section.required_path("cert", CERT_EXAMPLE);
        let key = section.required_path("key", KEY_EXAMPLE);
        section.finish();
        Some(Self { cert: cert?, key: key? })
    }
}

impl TlsVersion {
    /// Every version, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// The version as the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
