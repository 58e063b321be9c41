//! Sizes in human units.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use toml::de::DeValue;

use super::count::integer;
use super::{Kind, convert};
use crate::show::quote;
use crate::{ByteSize, Entry};

/// See [`size`].
#[derive(Debug, Clone)]
pub struct Size(RangeInclusive<ByteSize>);

/// A size within `range`, such as `"64KiB"`, or its bytes.
#[must_use]
pub fn size(range: RangeInclusive<ByteSize>) -> Size {
    Size(range)
}

impl Kind for Size {
    type Value = ByteSize;

    fn read(&self, entry: Entry<'_>) -> Option<ByteSize> {
        let read = |entry: &Entry<'_>| {
            let size = match &entry.value {
                DeValue::String(text) => text.parse().ok()?,
                value => ByteSize::new(integer(value)?),
            };
            self.0.contains(&size).then_some(size)
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &ByteSize) -> Option<String> {
        Some(quote(&value.to_string()))
    }

    fn accepted(&self) -> String {
        let (least, most) = (self.0.start(), self.0.end());
        let to = if most.bytes() == usize::MAX {
            String::new()
        } else {
            format!(" to {most}")
        };
        format!(r#"a size from {least}{to}, such as "64KiB", "10MiB", "1MB", or a number of bytes"#)
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [
            { "type": "string", "pattern": r"^\d+(B|KiB|MiB|GiB|kB|KB|MB|GB)?$" },
            { "type": "integer", "minimum": self.0.start().bytes(), "maximum": self.0.end().bytes() },
        ] })
    }
}
