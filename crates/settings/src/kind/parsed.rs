//! Text that a type reads by itself.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{Kind, convert};
use crate::Entry;
use crate::show::quote;

/// See [`parsed`].
#[derive(Debug, Clone)]
pub struct Parsed<T> {
    accepted: &'static str,
    of: PhantomData<T>,
}

/// What `T` reads from text and writes as text; `accepted` says what that is.
#[must_use]
pub fn parsed<T>(accepted: &'static str) -> Parsed<T> {
    Parsed {
        accepted,
        of: PhantomData,
    }
}

impl<T: FromStr + fmt::Display + Clone + PartialEq + fmt::Debug> Kind for Parsed<T> {
    type Value = T;

    fn read(&self, entry: Entry<'_>) -> Option<T> {
        convert(entry, |entry| entry.value.as_str()?.parse().ok(), || self.accepted())
    }

    fn print(&self, value: &T) -> Option<String> {
        Some(quote(&value.to_string()))
    }

    fn accepted(&self) -> String {
        self.accepted.to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}
