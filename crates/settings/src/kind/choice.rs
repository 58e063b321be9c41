//! One of a few words, or yes and no.

use std::fmt;
use std::marker::PhantomData;

use headpin_labels::Label;
use serde_json::{Value, json};

use super::{Kind, convert};
use crate::Entry;
use crate::show::quote;

/// See [`choice`].
#[derive(Debug, Clone, Default)]
pub struct Choice<T>(PhantomData<T>);

/// One of the variants of `T`, by its text.
#[must_use]
pub fn choice<T: Label>() -> Choice<T> {
    Choice(PhantomData)
}

impl<T: Label + PartialEq + fmt::Debug> Kind for Choice<T> {
    type Value = T;

    fn read(&self, entry: Entry<'_>) -> Option<T> {
        let read = |entry: &Entry<'_>| {
            let text = entry.value.as_str()?;
            T::VARIANTS.iter().copied().find(|variant| variant.text() == text)
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &T) -> Option<String> {
        Some(quote(value.text()))
    }

    fn accepted(&self) -> String {
        let names: Vec<_> = T::VARIANTS.iter().map(|variant| quote(variant.text())).collect();
        names.join(" or ")
    }

    fn schema(&self) -> Value {
        let names: Vec<_> = T::VARIANTS.iter().map(|variant| variant.text()).collect();
        json!({ "enum": names })
    }
}

/// See [`flag`].
#[derive(Debug, Clone, Default)]
pub struct Flag;

/// `true` or `false`.
#[must_use]
pub fn flag() -> Flag {
    Flag
}

impl Kind for Flag {
    type Value = bool;

    fn read(&self, entry: Entry<'_>) -> Option<bool> {
        convert(entry, |entry| entry.value.as_bool(), || self.accepted())
    }

    fn print(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn accepted(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}
