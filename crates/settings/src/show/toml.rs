//! Writes settings as TOML, in the order of declaration.

use std::fmt::{Display, Write};
use std::path::Path;

use crate::Settings;

/// TOML text in the making.
#[derive(Debug, Default)]
pub struct Printer {
    text: String,
}

impl Printer {
    /// Opens a section.
    pub fn section(&mut self, path: &str) {
        self.line(format_args!("\n[{path}]"));
    }

    /// Opens the next table of an array.
    pub fn item(&mut self, path: &str) {
        self.line(format_args!("\n[[{path}]]"));
    }

    /// A key with its value as TOML, unless it is left out.
    pub fn key(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.line(format_args!("{key} = {value}"));
        }
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

/// All of `settings`: every key that has a value, without comments.
#[must_use]
pub fn to_toml(settings: &impl Settings) -> String {
    let mut printer = Printer::default();
    settings.print("", &mut printer);
    printer.text
}

/// A table on one line, in braces.
pub(crate) fn inline(settings: &impl Settings) -> String {
    let text = to_toml(settings);
    let keys: Vec<&str> = text.lines().collect();
    format!("{{ {} }}", keys.join(", "))
}

/// The text as a TOML string.
#[must_use]
pub fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The path as a TOML string; what is not Unicode in it is lost, as TOML has no way to say it.
#[must_use]
pub fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
