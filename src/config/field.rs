//! Header fields that a config names.

use std::fmt;
use std::str::FromStr;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

/// Fields that say where a message ends, or what becomes of its connection: headpin sets them.
const FRAMING: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// The text is not a header field, or is one that headpin sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a header field that a config can set or remove")]
pub struct InvalidField;

/// The name of a header field; not one that frames a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(HeaderName);

impl FieldName {
    /// As a header's name.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl FromStr for FieldName {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let name = HeaderName::from_str(text).map_err(|_| InvalidField)?;
        if FRAMING.contains(&name) {
            return Err(InvalidField);
        }
        Ok(Self(name))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue(HeaderValue);

impl FieldValue {
    /// The media type of text.
    #[must_use]
    pub const fn plain_text() -> Self {
        Self(HeaderValue::from_static("text/plain; charset=utf-8"))
    }

    /// As a header's value.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl FromStr for FieldValue {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        HeaderValue::from_str(text.trim()).map(Self).map_err(|_| InvalidField)
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0.as_bytes()))
    }
}

/// A header field with its value, as in `X-Tenant: blue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLine {
    /// The name.
    pub name: FieldName,
    /// The value.
    pub value: FieldValue,
}

impl FromStr for FieldLine {
    type Err = InvalidField;

    fn from_str(text: &str) -> Result<Self, InvalidField> {
        let (name, value) = text.split_once(':').ok_or(InvalidField)?;
        Ok(Self {
            name: name.parse()?,
            value: value.parse()?,
        })
    }
}

impl fmt::Display for FieldLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_and_printed() {
        for (text, printed) in [("X-Tenant: blue", "x-tenant: blue"), ("a:b:c", "a: b:c"), ("a:", "a: ")] {
            assert_eq!(text.parse::<FieldLine>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_a_field_or_frames_a_message_is_refused() {
        for text in [
            "",
            "a",
            "a b: c",
            "a: b\nc",
            "Content-Length: 5",
            "transfer-encoding: chunked",
            "Connection: close",
        ] {
            assert_eq!(text.parse::<FieldLine>(), Err(InvalidField), "{text:?}");
        }
        for text in ["", "a b", "Upgrade", "Keep-Alive"] {
            assert_eq!(text.parse::<FieldName>(), Err(InvalidField), "{text:?}");
        }
    }
}
