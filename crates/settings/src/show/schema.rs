//! A JSON Schema (draft 2020-12), for editors that complete and check TOML.

use serde_json::{Map, Value, json};

use crate::{Description, Key, Presence};

/// The schema of a file of `description`.
#[must_use]
pub fn schema(title: &str, description: &Description) -> Value {
    let mut schema = object(description);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// A section: its keys, its sections, and nothing else.
pub(crate) fn object(description: &Description) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in &description.keys {
        properties.insert(key.name.to_owned(), property(key));
        if matches!(key.presence, Presence::Required(_)) {
            required.push(key.name);
        }
    }
    for below in &description.sections {
        let section_schema = object(&below.holds);
        if below.is_required && section_schema.get("required").is_some() {
            required.push(below.name);
        }
        properties.insert(below.name.to_owned(), section_schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": sentence(&description.about),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = key.schema.clone();
    schema["description"] = json!(sentence(&key.about));
    if let Some(default) = key.default.as_deref().and_then(from_toml) {
        schema["default"] = default;
    }
    schema
}

/// A value that is written as TOML.
fn from_toml(value: &str) -> Option<Value> {
    let mut table: toml::Table = format!("value = {value}").parse().ok()?;
    serde_json::to_value(table.remove("value")?).ok()
}

fn sentence(about: &[&str]) -> String {
    about.join("\n").replace('`', "")
}
