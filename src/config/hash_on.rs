//! What of a request chooses its server.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// What `balance = "hash"` goes by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HashOn {
    /// The address of the client, without its port.
    #[default]
    ClientAddress,
    /// The first field of this name.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(CookieName),
}

/// The name of a cookie (RFC 6265 section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName(String);

/// The text is not a cookie's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the name of a cookie")]
pub struct InvalidCookieName;

/// The text names nothing that can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is neither client_address, nor a header, nor a cookie")]
pub struct InvalidHashOn;

impl CookieName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookieName {
    type Err = InvalidCookieName;

    fn from_str(text: &str) -> Result<Self, InvalidCookieName> {
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.is_empty() && text.bytes().all(is_char) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCookieName)
        }
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HashOn {
    type Err = InvalidHashOn;

    fn from_str(text: &str) -> Result<Self, InvalidHashOn> {
        match text.split_once(':') {
            None if text == "client_address" => Ok(Self::ClientAddress),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| InvalidHashOn),
            Some(("cookie", name)) => name.parse().map(Self::Cookie).map_err(|_| InvalidHashOn),
            _ => Err(InvalidHashOn),
        }
    }
}

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress => f.write_str("client_address"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_read_and_printed() {
        for text in ["client_address", "header:x-user", "cookie:sid"] {
            assert_eq!(text.parse::<HashOn>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "client",
            "header:",
            "header:a b",
            "cookie:",
            "cookie:a=b",
            "query:a",
        ] {
            assert_eq!(text.parse::<HashOn>(), Err(InvalidHashOn), "{text:?}");
        }
    }
}
