//! What the paths of a route begin with.

use std::fmt;
use std::str::FromStr;

/// A path that others begin with, by whole segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPrefix {
    /// Without a slash at its end, so the root is empty.
    trimmed: String,
    /// As it was written.
    ends_with_slash: bool,
}

/// The text is not a path, or can be written in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a path in its normal form (RFC 3986 section 6.2.2)")]
pub struct InvalidPrefix;

impl PathPrefix {
    /// The path without a slash at its end; empty for the root.
    #[must_use]
    pub fn trimmed(&self) -> &str {
        &self.trimmed
    }
}

impl FromStr for PathPrefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if text != "/" && !text.starts_with('/') {
            return Err(InvalidPrefix);
        }
        let segments_are_good = trimmed
            .split('/')
            .skip(1)
            .all(|segment| !segment.is_empty() && segment != "." && segment != ".." && is_normal(segment));
        if !segments_are_good {
            return Err(InvalidPrefix);
        }
        Ok(Self {
            trimmed: trimmed.to_owned(),
            ends_with_slash: text.ends_with('/'),
        })
    }
}

/// Whether a segment has only what may stand in one (RFC 3986 section 3.3), and encodes only what must be.
fn is_normal(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let is_fine = match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| {
                    let digit = digit.filter(|digit| digit.is_ascii_digit() || (b'A'..=b'F').contains(digit))?;
                    char::from(digit).to_digit(16)
                });
                let [Some(high), Some(low)] = digits else { return false };
                let decoded = (high * 16 + low) as u8;
                !is_unreserved(decoded) && decoded != b'/' && decoded != b'\\' && decoded != 0
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => true,
            byte => is_unreserved(byte),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

/// RFC 3986 section 2.3: what means the same whether it is encoded or not.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.ends_with_slash { "/" } else { "" };
        write!(f, "{}{slash}", self.trimmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_and_printed_as_written() {
        for (text, trimmed) in [
            ("/", ""),
            ("/a", "/a"),
            ("/socket.io/", "/socket.io"),
            ("/%C3%A4/b", "/%C3%A4/b"),
        ] {
            let prefix: PathPrefix = text.parse().unwrap();
            assert_eq!((prefix.to_string().as_str(), prefix.trimmed()), (text, trimmed));
        }
    }

    #[test]
    fn what_is_not_a_path_in_its_normal_form_is_refused() {
        for text in [
            "", "a", "//", "/a//b", "/a/../b", "/./a", "/a?b", "/a#b", "/a b", "/ä", "/%61", "/%2F", "/%c3%a4", "/%C",
            "/a\\b",
        ] {
            assert_eq!(text.parse::<PathPrefix>(), Err(InvalidPrefix), "{text:?}");
        }
    }
}
