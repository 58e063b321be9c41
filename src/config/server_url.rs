//! The address of an upstream server, as a URL without a path.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest host name that DNS can carry (RFC 1035, section 2.3.4, without the root's length byte).
const MAX_HOST_LENGTH: usize = 253;

/// Where an upstream server listens, and whether it is spoken to over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// A DNS name in lower case, an IPv4 address, or an IPv6 address *without* its brackets: what a resolver and
    /// rustls's `ServerName` take.
    pub host: String,
    /// The port as written, or the scheme's own.
    pub port: u16,
}

/// How an upstream server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Over plain TCP.
    Http,
    /// Over TLS.
    Https,
}

/// The text is not the URL of an upstream server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an upstream URL: accepted is \"http://host:port\" or \"https://host:port\", without user, path, query or fragment"
)]
pub struct InvalidServerUrl;

impl ServerUrl {
    /// `host:port`, with the brackets of an IPv6 host: what a `Host` header carries.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidServerUrl)?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|candidate| candidate.as_str().eq_ignore_ascii_case(scheme))
            .ok_or(InvalidServerUrl)?;
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, after) = bracketed.split_once(']').ok_or(InvalidServerUrl)?;
            let address: Ipv6Addr = host.parse().map_err(|_| InvalidServerUrl)?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(InvalidServerUrl)?),
            };
            (address.to_string(), port)
        } else {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            (checked_name(host)?, port)
        };
        let port = match port {
            Some(port) => parse_port(port)?,
            None => scheme.default_port(),
        };
        Ok(Self { scheme, host, port })
    }
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// The scheme as it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lower-cases a DNS name or IPv4 address. Underscores are let through: container names have them.
fn checked_name(host: &str) -> Result<String, InvalidServerUrl> {
    let label_is_good = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() <= MAX_HOST_LENGTH && host.split('.').all(label_is_good) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(InvalidServerUrl)
    }
}

/// Digits only (`u16::from_str` takes a plus sign too), and never 0, which no one can connect to.
fn parse_port(text: &str) -> Result<u16, InvalidServerUrl> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidServerUrl);
    }
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(InvalidServerUrl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_printed_with_its_port() {
        for (text, printed) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("http://app", "http://app:80"),
            ("https://app.example", "https://app.example:443"),
            ("HTTPS://App.Example:8443", "https://app.example:8443"),
            ("http://[::1]:9001", "http://[::1]:9001"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]:443"),
            ("http://my_app-1:1", "http://my_app-1:1"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(printed.parse(), Ok(url));
        }
    }

    #[test]
    fn an_ipv6_host_is_kept_without_brackets() {
        let url: ServerUrl = "http://[::1]:9001".parse().unwrap();
        assert_eq!(url.host, "::1");
        assert_eq!(url.authority(), "[::1]:9001");
    }

    #[test]
    fn what_is_not_an_upstream_url_is_refused() {
        for text in [
            "",
            "127.0.0.1:9001",
            "ftp://app",
            "ws://app",
            "http://",
            "http://:80",
            "http://app:",
            "http://app:0",
            "http://app:+1",
            "http://app:65536",
            "http://app/",
            "http://app/path",
            "http://app?query",
            "http://user@app",
            "http://a..b",
            "http://::1",
            "http://[::1",
            "http://[::1]9001",
            "http://[fe80::1%eth0]",
            "http://app host",
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(InvalidServerUrl), "{text}");
        }
    }
}
