//! Values that may be something else: a word, nothing, another type.

use std::fmt;

use serde_json::{Value, json};

use super::Kind;
use crate::Entry;
use crate::describe::Description;
use crate::show::{Printer, quote};

/// The word that switches something off.
const OFF: &str = "off";

/// The word that leaves something to the machine.
pub(super) const AUTO: &str = "auto";

/// See [`or_word`].
#[derive(Debug, Clone)]
pub struct Or<K> {
    kind: K,
    word: &'static str,
}

/// A value of `kind`, or `word`, which is `None`.
#[must_use]
pub fn or_word<K: Kind>(kind: K, word: &'static str) -> Or<K> {
    Or { kind, word }
}

/// A value of `kind`, or `"off"`.
#[must_use]
pub fn or_off<K: Kind>(kind: K) -> Or<K> {
    or_word(kind, OFF)
}

/// A value of `kind`, or `"auto"`.
#[must_use]
pub fn or_auto<K: Kind>(kind: K) -> Or<K> {
    or_word(kind, AUTO)
}

impl<K: Kind> Kind for Or<K> {
    type Value = Option<K::Value>;

    fn read(&self, entry: Entry<'_>) -> Option<Option<K::Value>> {
        match entry.value.as_str() {
            Some(text) if text == self.word => Some(None),
            _ => self.kind.read(entry.or_word(self.word)).map(Some),
        }
    }

    fn print(&self, value: &Option<K::Value>) -> Option<String> {
        match value {
            Some(value) => self.kind.print(value),
            None => Some(quote(self.word)),
        }
    }

    fn accepted(&self) -> String {
        format!("{}, or \"{}\"", self.kind.accepted(), self.word)
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "const": self.word }, self.kind.schema()] })
    }

    fn print_default(&self, value: &Option<K::Value>) -> Option<String> {
        match value {
            Some(value) => self.kind.print_default(value),
            None => self.print(value),
        }
    }

    fn print_tables(&self, path: &str, value: &Self::Value, printer: &mut Printer) {
        if let Some(value) = value {
            self.kind.print_tables(path, value, printer);
        }
    }

    fn compare(&self, old: &Self::Value, new: &Self::Value, path: &str, keys: &mut Vec<String>) -> bool {
        match (old, new) {
            (Some(old), Some(new)) => self.kind.compare(old, new, path, keys),
            _ => old.is_some() != new.is_some(),
        }
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        self.kind.tables()
    }
}

/// See [`optional`].
#[derive(Debug, Clone)]
pub struct Optional<K>(K);

/// A value of `kind`; a file that has none leaves the key out.
#[must_use]
pub fn optional<K: Kind>(kind: K) -> Optional<K> {
    Optional(kind)
}

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn read(&self, entry: Entry<'_>) -> Option<Option<K::Value>> {
        self.0.read(entry).map(Some)
    }

    fn print(&self, value: &Option<K::Value>) -> Option<String> {
        self.0.print(value.as_ref()?)
    }

    fn accepted(&self) -> String {
        self.0.accepted()
    }

    fn schema(&self) -> Value {
        self.0.schema()
    }

    fn print_default(&self, value: &Option<K::Value>) -> Option<String> {
        self.0.print_default(value.as_ref()?)
    }

    fn print_tables(&self, path: &str, value: &Self::Value, printer: &mut Printer) {
        if let Some(value) = value {
            self.0.print_tables(path, value, printer);
        }
    }

    fn compare(&self, old: &Self::Value, new: &Self::Value, path: &str, keys: &mut Vec<String>) -> bool {
        match (old, new) {
            (Some(old), Some(new)) => self.0.compare(old, new, path, keys),
            _ => old.is_some() != new.is_some(),
        }
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        self.0.tables()
    }
}

/// See [`mapped`].
#[derive(Debug, Clone)]
pub struct Mapped<K: Kind, T> {
    kind: K,
    to: fn(K::Value) -> T,
    from: fn(&T) -> K::Value,
}

/// A value of `kind` as another type.
#[must_use]
pub fn mapped<K: Kind, T>(kind: K, to: fn(K::Value) -> T, from: fn(&T) -> K::Value) -> Mapped<K, T> {
    Mapped { kind, to, from }
}

impl<K: Kind, T: Clone + PartialEq + fmt::Debug> Kind for Mapped<K, T> {
    type Value = T;

    fn read(&self, entry: Entry<'_>) -> Option<T> {
        self.kind.read(entry).map(self.to)
    }

    fn print(&self, value: &T) -> Option<String> {
        self.kind.print(&(self.from)(value))
    }

    fn accepted(&self) -> String {
        self.kind.accepted()
    }

    fn schema(&self) -> Value {
        self.kind.schema()
    }

    fn print_default(&self, value: &T) -> Option<String> {
        self.kind.print_default(&(self.from)(value))
    }

    fn print_tables(&self, path: &str, value: &T, printer: &mut Printer) {
        self.kind.print_tables(path, &(self.from)(value), printer);
    }

    fn compare(&self, old: &T, new: &T, path: &str, keys: &mut Vec<String>) -> bool {
        self.kind.compare(&(self.from)(old), &(self.from)(new), path, keys)
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        self.kind.tables()
    }
}
