//! Tables: one in a line, many in an array, many by name.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde_json::{Value, json};

use super::Kind;
use crate::describe::Description;
use crate::show::{Printer, inline, object, quote_key};
use crate::{Entry, Settings};

/// See [`inline_table`].
#[derive(Debug, Clone)]
pub struct InlineTable<T> {
    example: &'static str,
    of: PhantomData<T>,
}

/// A table such as `example`, written on one line.
#[must_use]
pub fn inline_table<T: Settings>(example: &'static str) -> InlineTable<T> {
    InlineTable {
        example,
        of: PhantomData,
    }
}

impl<T: Settings> Kind for InlineTable<T> {
    type Value = T;

    fn read(&self, entry: Entry<'_>) -> Option<T> {
        Some(T::read(entry.into_section(self.example)))
    }

    fn print(&self, value: &T) -> Option<String> {
        Some(inline(value))
    }

    fn accepted(&self) -> String {
        self.example.to_owned()
    }

    fn schema(&self) -> Value {
        object(&T::describe())
    }

    fn compare(&self, old: &T, new: &T, path: &str, keys: &mut Vec<String>) -> bool {
        old.waiting_for_start(new, path, keys);
        false
    }
}

/// See [`tables`].
#[derive(Debug, Clone)]
pub struct Tables<T> {
    name: &'static str,
    of: PhantomData<T>,
}

/// Tables under `[[name]]`, in order.
#[must_use]
pub fn tables<T: Settings>(name: &'static str) -> Tables<T> {
    Tables { name, of: PhantomData }
}

impl<T: Settings> Kind for Tables<T> {
    type Value = Vec<T>;

    fn read(&self, entry: Entry<'_>) -> Option<Vec<T>> {
        match entry.into_items() {
            Ok(items) => {
                let tables = items.into_iter().map(|item| item.into_section(&self.accepted()));
                Some(tables.map(T::read).collect())
            }
            Err(entry) => {
                entry.refuse(self.accepted());
                None
            }
        }
    }

    fn print(&self, _: &Vec<T>) -> Option<String> {
        None
    }

    fn print_tables(&self, path: &str, value: &Vec<T>, printer: &mut Printer) {
        for table in value {
            printer.item(path);
            table.print(path, printer);
        }
    }

    fn accepted(&self) -> String {
        format!("tables: [[{}]] and the keys of each below it", self.name)
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": object(&T::describe()) })
    }

    fn compare(&self, old: &Vec<T>, new: &Vec<T>, path: &str, keys: &mut Vec<String>) -> bool {
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            old.waiting_for_start(new, &format!("{path}[{index}]"), keys);
        }
        old.len() != new.len()
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        Some(("[]", T::describe()))
    }
}

/// See [`named`].
#[derive(Debug, Clone)]
pub struct Named<T> {
    name: &'static str,
    of: PhantomData<T>,
}

/// Tables under `[name.SOMETHING]`, by that name.
#[must_use]
pub fn named<T: Settings>(name: &'static str) -> Named<T> {
    Named { name, of: PhantomData }
}

impl<T: Settings> Kind for Named<T> {
    type Value = BTreeMap<String, T>;

    fn read(&self, entry: Entry<'_>) -> Option<BTreeMap<String, T>> {
        let accepted = self.accepted();
        let tables = entry.into_section(&accepted).into_named();
        Some(
            tables
                .map(|(name, entry)| (name, T::read(entry.into_section(&accepted))))
                .collect(),
        )
    }

    fn print(&self, _: &BTreeMap<String, T>) -> Option<String> {
        None
    }

    fn print_tables(&self, path: &str, value: &BTreeMap<String, T>, printer: &mut Printer) {
        for (name, table) in value {
            let path = crate::dotted(path, &quote_key(name));
            printer.section(&path);
            table.print(&path, printer);
        }
    }

    fn accepted(&self) -> String {
        format!("tables by name: [{}.NAME] and the keys of each below it", self.name)
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": object(&T::describe()) })
    }

    fn compare(
        &self,
        old: &BTreeMap<String, T>,
        new: &BTreeMap<String, T>,
        path: &str,
        keys: &mut Vec<String>,
    ) -> bool {
        for (name, old) in old {
            if let Some(new) = new.get(name) {
                old.waiting_for_start(new, &crate::dotted(path, &quote_key(name)), keys);
            }
        }
        !old.keys().eq(new.keys())
    }

    fn tables(&self) -> Option<(&'static str, Description)> {
        Some((".NAME", T::describe()))
    }
}
