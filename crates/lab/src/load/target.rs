//! What is loaded, and from which addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use serde::{Serialize, Serializer};

/// Where the load goes: `wss://host:port/path`, or ws, https, http.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    /// As given; `None` if only `/` or nothing was.
    path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Ws,
    Wss,
    Http,
    Https,
}

impl Target {
    /// Whether TLS is spoken: wss and https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Wss | Scheme::Https)
    }

    /// The host's name or address, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What goes into the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let usual = if self.is_tls() { 443 } else { 80 };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The path that was given, or the usual one for this kind of work. A `{n}` in it stands for the connection's number.
    #[must_use]
    pub fn path_or(&self, usual: &str) -> String {
        self.path.clone().unwrap_or_else(|| usual.to_owned())
    }

    /// The addresses behind the host, those of IPv4 first: what listens on localhost rarely listens on both.
    ///
    /// # Errors
    /// If the name is not known.
    pub(super) async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<_> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses.dedup();
        Ok(addresses)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |why: &str| format!("{text:?} {why}; accepted: wss://host[:port][/path], or ws, https, http");
        let uri: Uri = text.parse().map_err(|_| refused("is no address"))?;
        let (scheme, usual_port) = match uri.scheme_str() {
            Some("wss") => (Scheme::Wss, 443),
            Some("https") => (Scheme::Https, 443),
            Some("ws") => (Scheme::Ws, 80),
            Some("http") => (Scheme::Http, 80),
            Some(_) => return Err(refused("has an unknown scheme")),
            None => return Err(refused("has no scheme")),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| refused("has no host"))?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(refused("names a user, which is not supported"));
        }
        let path = uri
            .path_and_query()
            .map(http::uri::PathAndQuery::as_str)
            .filter(|path| *path != "/");
        Ok(Self {
            scheme,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(usual_port),
            path: path.map(str::to_owned),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(
            f,
            "{scheme}://{}{}",
            self.authority(),
            self.path.as_deref().unwrap_or("/")
        )
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Local addresses to connect from, in turn. One address has about 28,000 ports towards one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<IpAddr>);

/// More would be a typing error.
const SOURCES_MAX: u32 = 65_536;

impl Sources {
    /// The address of connection `index`; none to let the kernel choose.
    #[must_use]
    pub fn of(&self, index: u64) -> Option<IpAddr> {
        let count = self.0.len() as u64;
        (count > 0).then(|| self.0[(index % count) as usize])
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused =
            || format!("{text:?} are no addresses; accepted: 127.0.0.2, 127.0.0.2-127.0.0.9, or several by comma");
        let mut addresses = Vec::new();
        for part in text.split(',').map(str::trim) {
            let Some((first, last)) = part.split_once('-') else {
                addresses.push(part.parse().map_err(|_| refused())?);
                continue;
            };
            let first: Ipv4Addr = first.trim().parse().map_err(|_| refused())?;
            let last: Ipv4Addr = last.trim().parse().map_err(|_| refused())?;
            let (first, last) = (first.to_bits(), last.to_bits());
            if first > last || last - first >= SOURCES_MAX {
                return Err(refused());
            }
            addresses.extend((first..=last).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))));
        }
        Ok(Self(addresses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_scheme_a_host_and_perhaps_a_port_and_a_path() {
        for (text, tls, host, authority, path) in [
            (
                "wss://localhost:8443/echo?x=1",
                true,
                "localhost",
                "localhost:8443",
                "/echo?x=1",
            ),
            ("ws://127.0.0.1:9000", false, "127.0.0.1", "127.0.0.1:9000", "/usual"),
            ("https://example.org/", true, "example.org", "example.org", "/usual"),
            ("http://[::1]:80/push/{n}", false, "::1", "[::1]", "/push/{n}"),
        ] {
            let target: Target = text.parse().unwrap();
            let got = (
                target.is_tls(),
                target.host(),
                target.authority(),
                target.path_or("/usual"),
            );
            assert_eq!(got, (tls, host, authority.to_owned(), path.to_owned()), "{text}");
        }
        for text in ["localhost:8443", "ftp://a", "wss://", "wss://u@h", "wss://a b", ""] {
            assert!(text.parse::<Target>().unwrap_err().contains("accepted"), "{text}");
        }
    }

    #[test]
    fn sources_take_turns() {
        let sources: Sources = "127.0.0.2-127.0.0.4, 127.0.0.9".parse().unwrap();
        let turns: Vec<_> = (0..5).map(|index| sources.of(index).unwrap().to_string()).collect();
        assert_eq!(turns, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9", "127.0.0.2"]);
        assert_eq!(Sources::default().of(7), None);
        for text in [
            "",
            "127.0.0.9-127.0.0.2",
            "localhost",
            "0.0.0.0-255.255.255.255",
            "127.0.0.1-",
        ] {
            assert!(text.parse::<Sources>().unwrap_err().contains("accepted"), "{text}");
        }
    }
}
