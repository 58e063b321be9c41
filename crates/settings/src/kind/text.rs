//! Text.

use serde_json::{Value, json};

use super::{Kind, convert};
use crate::Entry;
use crate::show::quote;

/// See [`text`].
#[derive(Debug, Clone)]
pub struct Text(&'static str);

/// Text with something in it, such as `example`.
#[must_use]
pub fn text(example: &'static str) -> Text {
    Text(example)
}

impl Kind for Text {
    type Value = String;

    fn read(&self, entry: Entry<'_>) -> Option<String> {
        let read = |entry: &Entry<'_>| {
            let text = entry.value.as_str().filter(|text| !text.trim().is_empty());
            text.map(str::to_owned)
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &String) -> Option<String> {
        Some(quote(value))
    }

    fn accepted(&self) -> String {
        format!("text that is not empty, such as \"{}\"", self.0)
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}
