//! The address of an upstream server: a URL without a path, or a unix socket.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Longest host name that DNS can carry (RFC 1035, section 2.3.4, without the root's length byte).
const MAX_HOST_LENGTH: usize = 253;

/// Where an upstream server listens, and whether it is spoken to over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Where it listens.
    pub place: Place,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// At a port of a host.
    Tcp {
        /// A DNS name in lower case, an IPv4 address, or an IPv6 address *without* its brackets: what a resolver and
        /// rustls's `ServerName` take.
        host: String,
        /// The port as written, or the scheme's own.
        port: u16,
    },
    /// At a socket in the file system; the path is absolute.
    Unix(PathBuf),
}

/// How an upstream server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

/// The text is not the URL of an upstream server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an upstream URL: accepted is \"http://host:port\" or \"https://host:port\", without user, path, query or fragment, \
     or \"unix:/path/of/a/socket\""
)]
pub struct InvalidServerUrl;

impl ServerUrl {
    /// `host:port`, with the brackets of an IPv6 host: what a `Host` header carries. A unix socket is `localhost`.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The host, an IPv6 address without brackets; a unix socket's is `localhost`.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Tcp { host, .. } => host,
            Place::Unix(_) => "localhost",
        }
    }

    /// The name that has to be resolved, with the port; `None` for an address and for a unix socket.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Tcp { host, port } if host.parse::<IpAddr>().is_err() => Some((host, *port)),
            _ => None,
        }
    }
}

/// What stands for a server that a config does not name.
impl Default for ServerUrl {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            place: Place::Tcp {
                host: "localhost".to_owned(),
                port: Scheme::Http.default_port(),
            },
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { .. } => write!(f, "{}://{}", self.scheme, self.authority()),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        if let Some(path) = text.strip_prefix("unix:") {
            let is_good = path.len() > 1 && path.starts_with('/') && !path.contains('\0');
            let place = Place::Unix(path.into());
            let scheme = Scheme::Http;
            return is_good.then_some(Self { scheme, place }).ok_or(InvalidServerUrl);
        }
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
        let place = Place::Tcp { host, port };
        Ok(Self { scheme, place })
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
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(printed.parse(), Ok(url));
        }
    }

    #[test]
    fn an_ipv6_host_is_kept_without_brackets() {
        let url: ServerUrl = "http://[::1]:9001".parse().unwrap();
        let host = "::1".to_owned();
        assert_eq!(url.place, Place::Tcp { host, port: 9001 });
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
            "unix:",
            "unix:/",
            "unix:app.sock",
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(InvalidServerUrl), "{text}");
        }
    }
}
