//! Text.

use serde_json::{Value, json};

use super::{Kind, convert};
use crate::Entry;
use crate::show::quote;

/// See [`text`] and [`any_text`].
#[derive(Debug, Clone)]
pub struct Text {
    example: &'static str,
    may_be_empty: bool,
}

/// Text with something in it, such as `example`.
#[must_use]
pub fn text(example: &'static str) -> Text {
    Text {
        example,
        may_be_empty: false,
    }
}

/// Text such as `example`, which may be empty.
#[must_use]
pub fn any_text(example: &'static str) -> Text {
    Text {
        example,
        may_be_empty: true,
    }
}

impl Kind for Text {
    type Value = String;

    fn read(&self, entry: Entry<'_>) -> Option<String> {
        let read = |entry: &Entry<'_>| {
            let text = entry.value.as_str();
            let text = text.filter(|text| self.may_be_empty || !text.trim().is_empty());
            text.map(str::to_owned)
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &String) -> Option<String> {
        Some(quote(value))
    }

    fn accepted(&self) -> String {
        let what = if self.may_be_empty {
            "text"
        } else {
            "text that is not empty"
        };
        format!("{what}, such as \"{}\"", self.example)
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": usize::from(!self.may_be_empty) })
    }
}
