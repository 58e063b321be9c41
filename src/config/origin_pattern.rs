//! Which origins may open WebSockets.

use std::fmt;
use std::str::FromStr;

use super::host_pattern::HostPattern;

/// An origin (RFC 6454 section 6.2), or `*.` and what its host ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    /// `http` or `https`.
    scheme: &'static str,
    host: HostPattern,
    /// `None` is the scheme's own.
    port: Option<u16>,
}

/// The text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an origin of http or https, without a path")]
pub struct InvalidOrigin;

impl OriginPattern {
    /// Whether `origin`, as a browser sends it, is one of these.
    #[must_use]
    pub fn is(&self, origin: &str) -> bool {
        let Ok(Self { scheme, host, port }) = origin.parse() else {
            return false;
        };
        let host_is = match self.host.is_wildcard {
            true => host
                .name
                .strip_suffix(&self.host.name)
                .is_some_and(|before| before.len() > 1 && before.ends_with('.')),
            false => host.name == self.host.name,
        };
        scheme == self.scheme && port == self.port && host_is && !host.is_wildcard
    }
}

impl FromStr for OriginPattern {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        let (scheme, own_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(InvalidOrigin),
        };
        let (host, port) = match authority.rsplit_once(':') {
            // A colon within brackets is part of an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse::<u16>().map_err(|_| InvalidOrigin)?)
            }
            Some(_) => return Err(InvalidOrigin),
            None => None,
        };
        Ok(Self {
            scheme,
            host: host.parse().map_err(|_| InvalidOrigin)?,
            port: port.filter(|port| *port != own_port),
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_its_scheme_host_and_port() {
        let is = |pattern: &str, origin| pattern.parse::<OriginPattern>().unwrap().is(origin);
        assert!(is("https://app.test", "https://APP.test:443"));
        assert!(!is("https://app.test", "http://app.test"));
        assert!(!is("https://app.test", "https://app.test:8443"));
        assert!(!is("https://app.test", "https://evil-app.test"));
        assert!(!is("https://app.test", "null"));
        assert!(is("https://*.app.test", "https://a.b.app.test"));
        assert!(!is("https://*.app.test", "https://app.test"));
        assert!(!is("https://*.app.test", "https://evilapp.test"));
        assert!(!is("https://*.app.test", "https://*.app.test"));
        assert!(is("http://[::1]:3000", "http://[::1]:3000"));
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "app.test",
            "https://app.test/",
            "wss://app.test",
            "https://a:b",
            "https://",
            "https://a:99999",
        ] {
            assert_eq!(text.parse::<OriginPattern>(), Err(InvalidOrigin), "{text:?}");
        }
    }
}
