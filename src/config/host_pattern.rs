//! Which hosts a route is for.

use std::fmt;
use std::str::FromStr;

/// A host, or `*.` and what it ends with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// One or more labels come before the name.
    pub is_wildcard: bool,
    /// In lower case, without a dot at its end; an IPv6 address in brackets.
    pub name: String,
}

/// The text is not a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a host, or a host behind \"*.\"")]
pub struct InvalidHost;

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let (is_wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let is_ipv6 = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        let is_label = |label: &str| {
            let is_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(is_char)
        };
        let is_name = name.len() <= 253 && name.split('.').all(is_label);
        if is_name || (is_ipv6 && !is_wildcard) {
            let name = name.to_ascii_lowercase();
            Ok(Self { is_wildcard, name })
        } else {
            Err(InvalidHost)
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_wildcard { "*." } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_lower_case() {
        for (text, printed) in [
            ("Chat.Example.com", "chat.example.com"),
            ("*.example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a..b",
            "a.*.b",
            "a:80",
            "http://a",
            "a/b",
            "*.[::1]",
            "[::1",
            "a b",
            "example.com.",
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(InvalidHost), "{text:?}");
        }
    }
}
