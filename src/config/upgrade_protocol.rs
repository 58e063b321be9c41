//! Names of protocols that a request may switch to.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

/// A protocol other than WebSocket, as the header `Upgrade` names it: a token, with or without a version (RFC 9110
/// section 7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeProtocol(HeaderValue);

/// Why a text is not the name of a protocol that can be switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProtocol {
    /// It is not a token.
    #[error("it is not a protocol's name")]
    NotAToken,
    /// It is always allowed, and has a handshake of its own.
    #[error("WebSocket is always allowed")]
    WebSocket,
    /// Requests in the tunnel would pass by this proxy, and it is obsolete (RFC 9113 section 3.1).
    #[error("HTTP/2 without TLS is not tunnelled")]
    Http2,
}

impl UpgradeProtocol {
    /// The name, as a header carries it.
    #[must_use]
    pub fn name(&self) -> &HeaderValue {
        &self.0
    }

    /// Whether `asked` is this protocol. Names are compared without regard to case (RFC 9110 section 7.8).
    #[must_use]
    pub fn is(&self, asked: &str) -> bool {
        asked.as_bytes().eq_ignore_ascii_case(self.0.as_bytes())
    }
}

impl FromStr for UpgradeProtocol {
    type Err = InvalidProtocol;

    fn from_str(text: &str) -> Result<Self, InvalidProtocol> {
        let is_token = |part: &str| {
            let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            !part.is_empty() && part.bytes().all(is_char)
        };
        let (name, version) = match text.split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        if !is_token(name) || !version.is_none_or(is_token) {
            return Err(InvalidProtocol::NotAToken);
        }
        match name.to_ascii_lowercase().as_str() {
            "websocket" => Err(InvalidProtocol::WebSocket),
            "h2c" => Err(InvalidProtocol::Http2),
            _ => HeaderValue::from_str(text)
                .map(Self)
                .map_err(|_| InvalidProtocol::NotAToken),
        }
    }
}

impl fmt::Display for UpgradeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_a_version_are_protocols() {
        for name in ["tcp", "SPDY/3.1", "derp", "tailscale-control-protocol"] {
            assert_eq!(name.parse::<UpgradeProtocol>().unwrap().to_string(), name);
        }
        assert!("SPDY/3.1".parse::<UpgradeProtocol>().unwrap().is("spdy/3.1"));
    }

    #[test]
    fn what_cannot_be_tunnelled_is_refused() {
        for (name, fault) in [
            ("", InvalidProtocol::NotAToken),
            ("tcp, derp", InvalidProtocol::NotAToken),
            ("tcp/", InvalidProtocol::NotAToken),
            ("WebSocket", InvalidProtocol::WebSocket),
            ("h2c", InvalidProtocol::Http2),
        ] {
            assert_eq!(name.parse::<UpgradeProtocol>(), Err(fault), "{name:?}");
        }
    }
}
