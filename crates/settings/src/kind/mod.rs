//! Kinds of values: how each is read, what it accepts, and how it is written.

mod address;
mod choice;
mod count;
mod duration;
mod file;
mod list;
mod number;
mod or;
mod parsed;
mod size;
mod tables;
mod text;
mod text_or_table;

use std::fmt;

use serde_json::Value;

use crate::describe::Description;
use crate::show::Printer;
use crate::source::Entry;

pub use address::{Address, address};
pub use choice::{Choice, Flag, choice, flag};
pub use count::{AutoCount, Count, Positive, auto_count, count, positive};
pub use duration::{Duration, LONGEST, SHORTEST, duration};
pub use file::{File, file};
pub use list::{List, list};
pub use number::{Number, above_zero, number};
pub use or::{Mapped, Optional, Or, mapped, optional, or_auto, or_off, or_word};
pub use parsed::{Parsed, parsed};
pub use size::{Size, size};
pub use tables::{InlineTable, Named, Tables, inline_table, named, tables};
pub use text::{Text, any_text, text};
pub use text_or_table::{TextOrTable, text_or_table};

/// A kind of value.
pub trait Kind {
    /// What a value becomes.
    type Value: Clone + PartialEq + fmt::Debug;

    /// Reads the value; `None` has left a fault.
    fn read(&self, entry: Entry<'_>) -> Option<Self::Value>;

    /// The value as TOML; `None` if a file leaves the key out then.
    fn print(&self, value: &Self::Value) -> Option<String>;

    /// What is accepted, as the end of "accepted is ...".
    fn accepted(&self) -> String;

    /// What is accepted, as JSON Schema.
    fn schema(&self) -> Value;

    /// The default as TOML: another than [`Self::print`] where the machine decides.
    fn print_default(&self, value: &Self::Value) -> Option<String> {
        self.print(value)
    }

    /// Writes the value as tables of their own, for kinds that do not [`print`](Self::print) it.
    fn print_tables(&self, _path: &str, _value: &Self::Value, _printer: &mut Printer) {}

    /// Compares the value with a `new` one: adds to `keys` those within its tables that differ and only act at start, and says
    /// whether anything else differs, such as which tables there are. Tables are paired by index and by name.
    fn compare(&self, old: &Self::Value, new: &Self::Value, _path: &str, _keys: &mut Vec<String>) -> bool {
        old != new
    }

    /// What tables in the value hold, and how the path to one goes on.
    fn tables(&self) -> Option<(&'static str, Description)> {
        None
    }
}

/// Reads by `convert`, which says what is accepted instead.
fn convert<T>(
    entry: Entry<'_>,
    convert: impl FnOnce(&Entry<'_>) -> Option<T>,
    accepted: impl FnOnce() -> String,
) -> Option<T> {
    let converted = convert(&entry);
    if converted.is_none() {
        entry.refuse(accepted());
    }
    converted
}
