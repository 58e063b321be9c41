//! The names under which the admin server is asked for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::Authority;

/// A host name or address, and a port if one is named: what `admin.hosts` lists and a `Host` header carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminHost {
    /// In lower case, an IPv6 address in its brackets.
    name: String,
    port: Option<u16>,
}

/// A text that names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no host name or address with an optional port")]
pub struct InvalidAdminHost;

impl AdminHost {
    /// Whether it is an IP address. No resolver has a say in that: a page of others cannot make it mean this server.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    }

    /// Whether it is `localhost`, which browsers do not ask a resolver for (RFC 6761 section 6.3).
    #[must_use]
    pub fn is_localhost(&self) -> bool {
        self.name == "localhost"
    }

    /// Whether `asked` is this host: the same name and, if this one has a port, the same port.
    #[must_use]
    pub fn covers(&self, asked: &Self) -> bool {
        self.name == asked.name && (self.port.is_none() || self.port == asked.port)
    }
}

impl FromStr for AdminHost {
    type Err = InvalidAdminHost;

    fn from_str(text: &str) -> Result<Self, InvalidAdminHost> {
        let authority: Authority = text.parse().map_err(|_| InvalidAdminHost)?;
        let named_port = text.len() > authority.host().len();
        let port = authority.port_u16();
        // A user, a colon without a port, a port that is none.
        if authority.host().is_empty() || text.contains('@') || named_port != port.is_some() {
            return Err(InvalidAdminHost);
        }
        Ok(Self {
            name: authority.host().to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for AdminHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        match port {
            Some(port) => write!(f, "{name}:{port}"),
            None => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> AdminHost {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for text in [
            "", ":80", "a:", "a:b", "a:65536", "u@a", "http://a", "a/b", "a b", "[::1",
        ] {
            assert_eq!(text.parse::<AdminHost>(), Err(InvalidAdminHost), "{text:?}");
        }
    }

    #[test]
    fn addresses_are_told_from_names() {
        for text in ["127.0.0.1", "10.0.0.7:9900", "[::1]", "[fe80::1]:9900"] {
            assert!(host(text).is_address(), "{text}");
        }
        for text in ["localhost", "127.0.0.1.example", "1.2.3:80", "headpin:9900"] {
            assert!(!host(text).is_address(), "{text}");
        }
        assert!(host("LocalHost:1").is_localhost());
        assert!(!host("localhost.example").is_localhost());
    }

    #[test]
    fn a_host_without_port_covers_every_port() {
        assert!(host("headpin").covers(&host("Headpin:9900")));
        assert!(host("headpin:9900").covers(&host("headpin:9900")));
        assert!(!host("headpin:9900").covers(&host("headpin")));
        assert!(!host("headpin").covers(&host("headpin.example")));
    }
}
