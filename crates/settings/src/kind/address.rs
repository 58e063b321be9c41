//! Socket addresses.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Kind, convert};
use crate::Entry;
use crate::show::quote;

/// See [`address`].
#[derive(Debug, Clone)]
pub struct Address(SocketAddr);

/// An IP address with a port, such as `example`. Names are refused: what they resolve to is decided elsewhere and may change.
#[must_use]
pub fn address(example: SocketAddr) -> Address {
    Address(example)
}

impl Kind for Address {
    type Value = SocketAddr;

    fn read(&self, entry: Entry<'_>) -> Option<SocketAddr> {
        convert(entry, |entry| entry.value.as_str()?.parse().ok(), || self.accepted())
    }

    fn print(&self, value: &SocketAddr) -> Option<String> {
        Some(quote(&value.to_string()))
    }

    fn accepted(&self) -> String {
        let Self(example) = self;
        format!(
            "an IP address and port such as \"{example}\" or \"[::1]:{}\"",
            example.port()
        )
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": r"^(\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\]):\d+$" })
    }
}
