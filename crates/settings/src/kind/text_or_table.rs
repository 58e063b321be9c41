//! What is a text in short and a table in full.

use serde_json::{Value, json};

use super::Kind;
use crate::describe::Description;
use crate::show::{inline, object};
use crate::{Entry, Settings};

/// See [`text_or_table`].
#[derive(Debug, Clone)]
pub struct TextOrTable<K: Kind, T> {
    kind: K,
    example: &'static str,
    to: fn(K::Value) -> T,
    from: fn(&T) -> Option<K::Value>,
}

/// A value of `kind`, which `to` makes a table of, or that table in full, such as `example`. It is written as `from` says: in
/// short where nothing is lost by that.
#[must_use]
pub fn text_or_table<K: Kind, T: Settings>(
    kind: K,
    example: &'static str,
    to: fn(K::Value) -> T,
    from: fn(&T) -> Option<K::Value>,
) -> TextOrTable<K, T> {
    TextOrTable {
        kind,
        example,
        to,
        from,
    }
}

impl<K: Kind, T: Settings> Kind for TextOrTable<K, T> {
    type Value = T;

    fn read(&self, entry: Entry<'_>) -> Option<T> {
        if entry.value.is_table() {
            Some(T::read(entry.into_section(self.example)))
        } else {
            self.kind.read(entry).map(self.to)
        }
    }

    fn print(&self, value: &T) -> Option<String> {
        match (self.from)(value) {
            Some(short) => self.kind.print(&short),
            None => Some(inline(value)),
        }
    }

    fn accepted(&self) -> String {
        format!("{}, or {}", self.kind.accepted(), self.example)
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [self.kind.schema(), object(&T::describe())] })
    }

    fn compare(&self, old: &T, new: &T, path: &str, keys: &mut Vec<String>) -> bool {
        old.waiting_for_start(new, path, keys);
        false
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        Some(("[]", T::describe()))
    }
}
