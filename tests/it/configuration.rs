//! docs/configuration.md, made out of config/headpin.toml and of what the program says to a wrong value of each key.
//!
//! `UPDATE=1 cargo nextest run --test it -E 'test(configuration)'` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use headpin::config::{Config, ConfigError, Fault};

const SOURCE: &str = "config/headpin.toml";
const REFERENCE: &str = "docs/configuration.md";

/// What the reference begins with.
const OPENING: &str = "# Configuration

<!-- Made by tests/it/configuration.rs out of config/headpin.toml; UPDATE=1 makes it anew. -->

Every key that a config file may have, in the order of [config/headpin.toml](../config/headpin.toml), which is a complete
file with every default. `headpin check --config FILE` tells all faults of a file at once, and prints it with every default
filled in. Unknown keys are refused.

- **Durations** are `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`, `\"7d\"` or a compound such as `\"1h30m\"`. **Sizes** are `\"512B\"`,
  `\"64KiB\"`, `\"10MiB\"`, `\"1GiB\"`, their decimal relatives (`\"10MB\"`), or a plain number of bytes. **Paths** start at the
  file's folder.
- **Reload**: the running proxy reads the file again when its content changes, on SIGHUP and by `POST /api/reload`. A
  faulty file changes nothing, and the log says why. A key that takes effect \"at start\" waits for a restart; a reload that
  changes one says so.
";

/// One key of the file.
struct Key {
    section: String,
    name: String,
    /// As the file has it.
    value: String,
    /// The comment above it.
    about: String,
    /// Written as a comment: by default it is left out.
    left_out: bool,
    line: usize,
}

impl Key {
    fn dotted(&self) -> String {
        match self.section.as_str() {
            "" => self.name.clone(),
            section => format!("{section}.{}", self.name),
        }
    }
}

/// The keys of the file, each with the comment above it; the file's own comment, which ends with an empty line, is no
/// key's.
fn keys(text: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let (mut section, mut about) = (String::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let comment = if line == "#" { Some("") } else { line.strip_prefix("# ") };
        let bare = comment.unwrap_or(line);
        let assignment = bare.split_once(" = ").filter(|(name, _)| !name.contains(' '));
        if line.is_empty() {
            about.clear();
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((name, value)) = assignment {
            keys.push(Key {
                section: section.clone(),
                name: name.to_owned(),
                value: value.to_owned(),
                about: about.join("\n"),
                left_out: comment.is_some(),
                line: index,
            });
            about.clear();
        } else if let Some(comment) = comment {
            about.push(comment);
        } else {
            panic!("{SOURCE}:{}: neither key, section nor comment", index + 1);
        }
    }
    keys
}

/// What the program says of the file when this key's line reads `line`.
fn faults(text: &str, key: &Key, line: &str) -> Vec<Fault> {
    let lines = text.lines().enumerate();
    let changed: Vec<&str> = lines
        .map(|(index, old)| if index == key.line { line } else { old })
        .collect();
    match Config::parse(&changed.join("\n"), Path::new(SOURCE)) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Faults { faults, .. }) => faults,
        Err(other) => panic!("{line}: {other}"),
    }
}

/// What the key accepts, in the words of the refusal of an empty table, which is nobody's value. For a duration, whose
/// bounds are only told to what is one, in those of the refusal of 100,000 days.
fn accepted(text: &str, key: &Key) -> String {
    let told = refusal(text, key, "{}");
    if told.starts_with("a duration") {
        refusal(text, key, "\"100000d\"")
    } else {
        told
    }
}

/// What is accepted instead of `value`.
fn refusal(text: &str, key: &Key, value: &str) -> String {
    let faults = faults(text, key, &format!("{} = {value}", key.name));
    let fault = faults.iter().find(|fault| fault.key == key.dotted());
    let fault = fault.unwrap_or_else(|| panic!("{} takes {value}: {faults:?}", key.dotted()));
    let accepted = fault.problem.strip_prefix("accepted is ");
    accepted
        .unwrap_or_else(|| panic!("{fault} does not say what is accepted"))
        .to_owned()
}

/// Whether a file without the key is refused.
fn is_required(text: &str, key: &Key) -> bool {
    faults(text, key, "").iter().any(|fault| fault.key == key.dotted())
}

fn reference() -> String {
    let text = fs::read_to_string(SOURCE).unwrap();
    let mut page = OPENING.to_owned();
    let mut section = None;
    for key in keys(&text) {
        if section.as_ref() != Some(&key.section) {
            match key.section.as_str() {
                "" => page.push_str("\n## Above all sections\n"),
                name => writeln!(page, "\n## [{name}]").unwrap(),
            }
            section = Some(key.section.clone());
        }
        let at_start = key.about.starts_with("(start) ");
        let about = key
            .about
            .trim_start_matches("(start) ")
            .replace(":\n\"", ":\n- \"")
            .replace(";\n\"", ";\n- \"");
        writeln!(page, "\n### `{}`\n\n{about}\n", key.dotted()).unwrap();
        writeln!(page, "- accepted: {}", accepted(&text, &key)).unwrap();
        let value = &key.value;
        if is_required(&text, &key) {
            writeln!(page, "- required, for example: `{value}`").unwrap();
        } else if key.left_out {
            writeln!(page, "- default: left out; for example: `{value}`").unwrap();
        } else {
            writeln!(page, "- default: `{value}`").unwrap();
        }
        writeln!(
            page,
            "- takes effect: {}",
            if at_start { "at start" } else { "at a reload" }
        )
        .unwrap();
    }
    page
}

#[test]
fn the_configuration_reference_is_what_the_code_says() {
    let page = reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(REFERENCE, &page).unwrap();
    }
    let written = fs::read_to_string(REFERENCE).unwrap_or_default();
    assert!(
        written == page,
        "{REFERENCE} is out of date: UPDATE=1 with this test writes it anew"
    );
}
