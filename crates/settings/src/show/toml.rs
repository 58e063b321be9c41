//! Writes settings as TOML, in the order of declaration.

use std::fmt::{Display, Write};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

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

/// A table on one line, in braces, with all that it holds.
pub(crate) fn inline(settings: &impl Settings) -> String {
    // Lists and tables are printed over several lines, so the printed text is read, and its parts are put on one line.
    let text = to_toml(settings);
    let table = DeTable::parse(&text).expect("what is printed is TOML");
    table_on_one_line(&text, table.get_ref())
}

fn table_on_one_line(text: &str, table: &DeTable<'_>) -> String {
    let mut keys: Vec<_> = table.iter().collect();
    // The table is sorted by name, and the text is in the order of declaration.
    keys.sort_by_key(|(key, _)| key.span().start);
    let keys = keys.into_iter().map(|(key, value)| {
        let value = value_on_one_line(text, value);
        format!("{} = {value}", quote_key(key.get_ref()))
    });
    let keys: Vec<String> = keys.collect();
    if keys.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", keys.join(", "))
    }
}

fn value_on_one_line(text: &str, value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::Table(table) => table_on_one_line(text, table),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| value_on_one_line(text, item)).collect();
            format!("[{}]", items.join(", "))
        }
        _ => text[value.span()].to_owned(),
    }
}

/// The text as a TOML string on one line.
#[must_use]
pub fn quote(text: &str) -> String {
    if text.contains('\n') {
        // TOML would write several lines, which fit neither a comment nor a table on one line. A JSON string is a TOML string
        // as well, once DEL is escaped.
        serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
    } else {
        toml::Value::from(text).to_string()
    }
}

/// A key as TOML writes it: without quotes where it may be.
pub(crate) fn quote_key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_bare { name.to_owned() } else { quote(name) }
}

/// The path as a TOML string; what is not Unicode in it is lost, as TOML has no way to say it.
#[must_use]
pub fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}
