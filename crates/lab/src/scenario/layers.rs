//! A scenario's file, its variants, a file of the user's and single numbers, one over the other: as tables.

use std::path::Path;

use toml::{Table, Value};

use super::{ScenarioError, Variant};

/// Tables of a scenario's file that hold other numbers for the same keys.
const VARIANTS: [&str; 2] = ["fast", "smoke"];

pub(super) fn read(path: &Path) -> Result<Table, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, &path.display().to_string())
}

pub(super) fn parse(text: &str, from: &str) -> Result<Table, ScenarioError> {
    text.parse().map_err(|error: toml::de::Error| ScenarioError::Syntax {
        from: from.to_owned(),
        why: error.to_string().trim().to_owned(),
    })
}

/// `key=value`; a value that is no TOML is a string, so that `--set byte_rate=2MB` needs no quotes.
pub(super) fn parse_set(set: &str) -> Result<Table, String> {
    let Some((key, value)) = set.split_once('=') else {
        return Err(format!("--set {set}: accepted is key=value, such as byte_rate=2MB"));
    };
    let (key, value) = (key.trim(), value.trim());
    let parsed = format!("value = {value}").parse::<Table>().ok();
    let value = parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    Ok(Table::from_iter([(key.to_owned(), value)]))
}

/// Takes the variants out of a file's table.
pub(super) fn split(table: &mut Table) -> Table {
    let variant = |name: &str| table.remove(name).map(|variant| (name.to_owned(), variant));
    VARIANTS.map(variant).into_iter().flatten().collect()
}

pub(super) fn overlay(table: &mut Table, mut variants: Table, variant: Variant, name: &str, faults: &mut Vec<String>) {
    match variants.remove(variant.name()) {
        Some(Value::Table(own)) => lay_over(table, own, name, faults),
        Some(_) => faults.push(format!("[{}] of {name} is no table", variant.name())),
        None => {}
    }
}

pub(super) fn lay_over(table: &mut Table, own: Table, name: &str, faults: &mut Vec<String>) {
    for (key, value) in own {
        match table.get_mut(&key) {
            Some(_) if key == "kind" && value.as_str() != Some(name) => {
                faults.push(format!("kind = {value}: accepted is {name:?} here"));
            }
            Some(known) => *known = value,
            None => faults.push(unknown(&key, table, name)),
        }
    }
}

fn unknown(key: &str, table: &Table, name: &str) -> String {
    let meant = meant(key, table.keys().map(String::as_str));
    let accepted: Vec<&str> = table.keys().map(String::as_str).filter(|key| *key != "kind").collect();
    format!("{name} has no key {key:?}{meant}; accepted: {}", accepted.join(", "))
}

/// The known word that is nearest to what was typed, as a question.
pub(super) fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|word| (strsim::levenshtein(word, typed), word))
        .min();
    let near = near.filter(|(distance, _)| *distance <= 2);
    near.map_or_else(String::new, |(_, word)| format!(" (did you mean {word}?)"))
}
