//! Numbers that need not be whole.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Kind, convert};
use crate::Entry;

/// See [`number`].
#[derive(Debug, Clone)]
pub struct Number(RangeInclusive<f64>);

/// A finite number within `range`.
#[must_use]
pub fn number(range: RangeInclusive<f64>) -> Number {
    Number(range)
}

/// A finite number above 0.
#[must_use]
pub fn above_zero() -> Number {
    Number(f64::MIN_POSITIVE..=f64::MAX)
}

impl Kind for Number {
    type Value = f64;

    fn read(&self, entry: Entry<'_>) -> Option<f64> {
        let read = |entry: &Entry<'_>| {
            let number: f64 = match &entry.value {
                DeValue::Float(float) => float.as_str().parse().ok()?,
                DeValue::Integer(integer) => integer.as_str().parse().ok()?,
                _ => return None,
            };
            self.0.contains(&number).then_some(number)
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn accepted(&self) -> String {
        if *self.0.start() == f64::MIN_POSITIVE {
            "a number above 0".to_owned()
        } else {
            format!("a number from {} to {}", self.0.start(), self.0.end())
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "number", "minimum": self.0.start(), "maximum": self.0.end() })
    }
}
