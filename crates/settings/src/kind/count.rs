//! Whole numbers.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use serde_json::{Value, json};
use toml::de::DeValue;

use super::or::AUTO;
use super::{Kind, convert};
use crate::Entry;
use crate::show::quote;

/// See [`count`].
#[derive(Debug, Clone)]
pub struct Count(RangeInclusive<usize>);

/// A whole number within `range`.
#[must_use]
pub fn count(range: RangeInclusive<usize>) -> Count {
    Count(range)
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<usize> {
    let integer = value.as_integer()?;
    usize::from_str_radix(integer.as_str(), integer.radix()).ok()
}

impl Kind for Count {
    type Value = usize;

    fn read(&self, entry: Entry<'_>) -> Option<usize> {
        let read = |entry: &Entry<'_>| integer(&entry.value).filter(|count| self.0.contains(count));
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &usize) -> Option<String> {
        Some(value.to_string())
    }

    fn accepted(&self) -> String {
        match (self.0.start(), self.0.end()) {
            (least, &usize::MAX) => format!("a whole number of {least} or more"),
            (least, most) => format!("a whole number from {least} to {most}"),
        }
    }

    fn schema(&self) -> Value {
        match (self.0.start(), self.0.end()) {
            (least, &usize::MAX) => json!({ "type": "integer", "minimum": least }),
            (least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        }
    }
}

/// See [`positive`].
#[derive(Debug, Clone)]
pub struct Positive(Count);

/// A whole number from 1 to `most`.
#[must_use]
pub fn positive(most: usize) -> Positive {
    Positive(Count(1..=most))
}

impl Kind for Positive {
    type Value = NonZeroUsize;

    fn read(&self, entry: Entry<'_>) -> Option<NonZeroUsize> {
        self.0.read(entry).and_then(NonZeroUsize::new)
    }

    fn print(&self, value: &NonZeroUsize) -> Option<String> {
        self.0.print(&value.get())
    }

    fn accepted(&self) -> String {
        self.0.accepted()
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }
}

/// See [`auto_count`].
#[derive(Debug, Clone)]
pub struct AutoCount {
    most: usize,
    auto: fn() -> NonZeroUsize,
}

/// A whole number from 1 to `most`; for `"auto"` and 0, and as default, what `auto` says of this machine.
#[must_use]
pub fn auto_count(most: usize, auto: fn() -> NonZeroUsize) -> AutoCount {
    AutoCount { most, auto }
}

impl Kind for AutoCount {
    type Value = NonZeroUsize;

    fn read(&self, entry: Entry<'_>) -> Option<NonZeroUsize> {
        let read = |entry: &Entry<'_>| match entry.value.as_str() {
            Some(AUTO) => Some((self.auto)()),
            _ => {
                let count = integer(&entry.value).filter(|count| *count <= self.most)?;
                Some(NonZeroUsize::new(count).unwrap_or_else(self.auto))
            }
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &NonZeroUsize) -> Option<String> {
        Some(value.to_string())
    }

    fn print_default(&self, _: &NonZeroUsize) -> Option<String> {
        Some(quote(AUTO))
    }

    fn accepted(&self) -> String {
        format!("a whole number from 0 to {}, or \"{AUTO}\"", self.most)
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": AUTO }, { "type": "integer", "minimum": 0, "maximum": self.most }] })
    }
}
