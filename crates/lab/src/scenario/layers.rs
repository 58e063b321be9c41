//! The texts that a scenario's numbers come from: its file's own, a variant's, a file of the user's, single numbers.

use std::path::Path;

use headpin_settings::show::quote;
use headpin_settings::{Layer, Variants};
use toml::{Table, Value};

use super::{ScenarioError, Variant};

/// Tables of a scenario's file that hold other numbers for the same keys.
const VARIANTS: &[&str] = &["fast", "smoke"];

/// One text, and where it is from.
#[derive(Debug)]
pub(super) struct Text {
    origin: String,
    text: String,
    is_file: bool,
}

impl Text {
    /// A scenario's file, called `origin`.
    pub(super) fn file(origin: &str, text: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            text: text.to_owned(),
            is_file: true,
        }
    }

    /// To be read, over those before it, with the numbers of `variant`.
    pub(super) fn layer(&self, variant: Variant) -> Layer<'_> {
        let chosen = VARIANTS.iter().copied().find(|name| *name == variant.name());
        if self.is_file {
            Layer::file(Path::new(&self.origin), &self.text).with_variants(Variants { all: VARIANTS, chosen })
        } else {
            Layer::option(&self.origin, &self.text)
        }
    }

    /// The same, read as TOML.
    pub(super) fn table(&self, variant: Variant) -> Table {
        // It was read before, so it is.
        let mut table: Table = self.text.parse().unwrap_or_default();
        for name in VARIANTS {
            if let Some(Value::Table(over)) = table.remove(*name)
                && *name == variant.name()
            {
                table.extend(over);
            }
        }
        table
    }
}

pub(super) fn read(path: &Path) -> Result<String, ScenarioError> {
    std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
        path: path.to_owned(),
        source,
    })
}

/// `key=value`; a value that is no TOML is a string, so that `--set byte_rate=2MB` needs no quotes.
pub(super) fn set(set: &str) -> Result<Text, String> {
    let Some((key, value)) = set.split_once('=') else {
        return Err(format!("--set {set}: accepted is key=value, such as byte_rate=2MB"));
    };
    let (key, value) = (key.trim(), value.trim());
    let as_toml = format!("{key} = {value}");
    let text = match as_toml.parse::<Table>() {
        Ok(_) => as_toml,
        Err(_) => format!("{} = {}", quote_key(key), quote(value)),
    };
    Ok(Text {
        origin: format!("--set {set}"),
        text,
        is_file: false,
    })
}

fn quote_key(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_bare { key.to_owned() } else { quote(key) }
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
