//! What a declaration says, as data: for the sample file, the reference page and the JSON Schema.

use serde_json::Value;

use crate::Kind;

/// When a change of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    /// When the program starts.
    AtStart,
    /// When the file is read again.
    AtReload,
}

/// What stands for a key that a file leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Its default.
    Default,
    /// Nothing; a file that has it could say this.
    LeftOut(&'static str),
    /// It must be given, for example so.
    Required(&'static str),
}

/// One key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// What it is for, line by line.
    pub about: Vec<&'static str>,
    /// What it accepts, in the words of the fault.
    pub accepted: String,
    /// The default, as TOML; `None` if there is none to show.
    pub default: Option<String>,
    /// What stands for it where it is left out.
    pub presence: Presence,
    /// When it acts.
    pub acts: Acts,
    /// As JSON Schema, without its description and default.
    pub schema: Value,
    /// For tables in it: how the path to one goes on, such as `[]` or `.NAME`, and what it holds.
    pub tables: Option<(&'static str, Description)>,
}

/// A section.
#[derive(Debug, Clone)]
pub struct Description {
    /// What it is for, line by line.
    pub about: Vec<&'static str>,
    /// Its keys, in the order of declaration.
    pub keys: Vec<Key>,
    /// Sections below it.
    pub sections: Vec<Below>,
}

/// A section below another.
#[derive(Debug, Clone)]
pub struct Below {
    /// Its name.
    pub name: &'static str,
    /// Whether keys that are required in it are missing where a file does not have it.
    pub is_required: bool,
    /// What it holds.
    pub holds: Description,
}

/// Lines of a doc comment, without the space that each begins with.
#[doc(hidden)]
#[must_use]
pub fn lines(docs: &[&'static str]) -> Vec<&'static str> {
    docs.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
}

/// A key of a declaration.
#[doc(hidden)]
#[must_use]
pub fn describe_key<K: Kind>(
    name: &'static str,
    docs: &[&'static str],
    kind: &K,
    default: &K::Value,
    presence: Presence,
    acts: Acts,
) -> Key {
    Key {
        name,
        about: lines(docs),
        accepted: kind.accepted(),
        default: match presence {
            Presence::Default => kind.print_default(default),
            Presence::LeftOut(_) | Presence::Required(_) => None,
        },
        presence,
        acts,
        schema: kind.schema(),
        tables: kind.tables(),
    }
}
