//! Writes a configuration as TOML, in the order of the fields.

use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use super::human_duration::HumanDuration;
use super::value::OFF;

/// TOML text in the making.
#[derive(Debug, Default)]
pub(super) struct Printer {
    text: String,
}

impl Printer {
    /// Opens a section.
    pub(super) fn section(&mut self, name: &str) {
        self.line(format_args!("\n[{name}]"));
    }

    /// A value that stands in quotes.
    pub(super) fn quoted(&mut self, key: &str, value: impl Display) {
        self.bare(key, quote(&value.to_string()));
    }

    /// A value that stands as it is: a number, a flag.
    pub(super) fn bare(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key} = {value}"));
    }

    /// A duration.
    pub(super) fn duration(&mut self, key: &str, value: Duration) {
        self.quoted(key, HumanDuration(value));
    }

    /// A duration or `"off"`.
    pub(super) fn duration_or_off(&mut self, key: &str, value: Option<Duration>) {
        match value {
            Some(value) => self.duration(key, value),
            None => self.quoted(key, OFF),
        }
    }

    /// An array, one item a line.
    pub(super) fn list(&mut self, key: &str, items: impl IntoIterator<Item = String>) {
        let items: String = items.into_iter().map(|item| format!("\n    {item},")).collect();
        let end = if items.is_empty() { "" } else { "\n" };
        self.bare(key, format_args!("[{items}{end}]"));
    }

    /// What has been written.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

/// The text as a TOML string.
pub(super) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The path as a TOML string; what is not Unicode in it is lost, as TOML has no way to say it.
pub(super) fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
