//! The name that a TLS server must prove.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::{InvalidDnsNameError, ServerName};

/// A DNS name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsName(ServerName<'static>);

impl TlsName {
    /// As rustls takes it.
    #[must_use]
    pub fn name(&self) -> &ServerName<'static> {
        &self.0
    }
}

impl FromStr for TlsName {
    type Err = InvalidDnsNameError;

    fn from_str(text: &str) -> Result<Self, InvalidDnsNameError> {
        ServerName::try_from(text.to_ascii_lowercase()).map(Self)
    }
}

impl fmt::Display for TlsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str())
    }
}
