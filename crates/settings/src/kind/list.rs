//! Lists.

use serde_json::{Value, json};

use super::Kind;
use crate::Entry;
use crate::describe::Description;

/// See [`list`].
#[derive(Debug, Clone)]
pub struct List<K> {
    kind: K,
    example: &'static str,
    may_be_empty: bool,
    /// What an item is called, where none may be listed twice.
    each_once: Option<&'static str>,
}

/// A list of values of `kind`, which may be empty and looks like `example`.
#[must_use]
pub fn list<K: Kind>(kind: K, example: &'static str) -> List<K> {
    List {
        kind,
        example,
        may_be_empty: true,
        each_once: None,
    }
}

impl<K> List<K> {
    /// With at least one value.
    #[must_use]
    pub fn not_empty(self) -> Self {
        Self {
            may_be_empty: false,
            ..self
        }
    }

    /// With no value twice, however it is written; `what` is a value's name in the fault.
    #[must_use]
    pub fn each_once(self, what: &'static str) -> Self {
        Self {
            each_once: Some(what),
            ..self
        }
    }
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn read(&self, entry: Entry<'_>) -> Option<Vec<K::Value>> {
        if !self.may_be_empty && entry.value.as_array().is_some_and(|items| items.is_empty()) {
            entry.refuse(self.accepted());
            return None;
        }
        let items = match entry.into_items() {
            Ok(items) => items,
            Err(entry) => {
                entry.refuse(self.accepted());
                return None;
            }
        };
        let mut values = Vec::new();
        for item in items {
            let place = item.place();
            let Some(value) = self.kind.read(item) else { continue };
            match self.each_once {
                Some(what) if values.contains(&value) => {
                    let shown = self.kind.print(&value).unwrap_or_default();
                    place.refuse(format_args!("each {what} once; {shown} is listed before"));
                }
                _ => values.push(value),
            }
        }
        Some(values)
    }

    fn print(&self, value: &Vec<K::Value>) -> Option<String> {
        let items = value.iter().filter_map(|value| self.kind.print(value));
        let items: String = items.map(|item| format!("\n    {item},")).collect();
        let end = if items.is_empty() { "" } else { "\n" };
        Some(format!("[{items}{end}]"))
    }

    fn accepted(&self) -> String {
        if self.may_be_empty {
            format!("a list such as {}", self.example)
        } else {
            format!("a list of at least one, such as {}", self.example)
        }
    }

    fn schema(&self) -> Value {
        json!({
            "type": "array",
            "items": self.kind.schema(),
            "minItems": usize::from(!self.may_be_empty),
            "uniqueItems": self.each_once.is_some(),
        })
    }

    fn compare(&self, old: &Vec<K::Value>, new: &Vec<K::Value>, path: &str, keys: &mut Vec<String>) -> bool {
        let mut differs = old.len() != new.len();
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            differs |= self.kind.compare(old, new, &format!("{path}[{index}]"), keys);
        }
        differs
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        self.kind.tables()
    }
}
