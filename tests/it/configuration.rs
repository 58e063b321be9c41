//! The files that follow from the declarations of `src/config`: the sample, the reference page, the JSON Schema.
//!
//! `UPDATE=1 cargo nextest run --test it -E 'test(configuration)'` writes them anew.

use std::fs;
use std::path::Path;

use headpin::config::Config;
use headpin_settings::{Settings as _, show};
use serde_json::Value;

const SAMPLE: &str = "config/headpin.toml";
const REFERENCE: &str = "docs/configuration.md";
const SCHEMA: &str = "config/headpin.schema.json";

/// What the sample begins with. Its first line names the schema for editors (Taplo, Even Better TOML).
const SAMPLE_OPENING: &str = "#:schema ./headpin.schema.json
# headpin's configuration: every key with its default. A key that is left out has the value shown here; only
# tls.certificates and upstream.servers must be given.
#
# Durations are \"500ms\", \"10s\", \"5m\", \"1h\", \"7d\" or a compound such as \"1h30m\". Sizes are \"512B\", \"64KiB\", \"10MiB\",
# \"1GiB\", their decimal relatives (\"10MB\"), or a plain number of bytes. Paths start at this file's folder.
#
# `headpin check` reports all that is wrong in this file at once. The running proxy reads it again when its content
# changes and on SIGHUP; keys marked (start) wait for a restart, and a faulty file changes nothing.
#
# Made out of src/config by tests/it/configuration.rs; UPDATE=1 makes it anew.

";

/// What the reference begins with.
const REFERENCE_OPENING: &str = "# Configuration

<!-- Made out of src/config by tests/it/configuration.rs; UPDATE=1 makes it anew. -->

Every key that a config file may have, in the order of [config/headpin.toml](../config/headpin.toml), which is a complete
file with every default. `headpin check --config FILE` reports all faults of a file at once, and prints it with every default
filled in. Unknown keys are refused. Editors complete and check the file by
[config/headpin.schema.json](../config/headpin.schema.json), which `headpin check --schema` prints: a first line
`#:schema PATH` names it for Taplo and Even Better TOML.

- **Durations** are `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`, `\"7d\"` or a compound such as `\"1h30m\"`. **Sizes** are `\"512B\"`,
  `\"64KiB\"`, `\"10MiB\"`, `\"1GiB\"`, their decimal relatives (`\"10MB\"`), or a plain number of bytes. **Paths** start at the
  file's folder.
- **Reload**: the running proxy reads the file again when its content changes, on SIGHUP and by `POST /api/reload`. A
  faulty file changes nothing, and the log says why. A key that takes effect \"at start\" waits for a restart; a reload that
  changes one says so.
";

fn assert_is_made(path: &str, made: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, made).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == made,
        "{path} is out of date: UPDATE=1 with this test writes it anew"
    );
}

/// A TOML file as JSON, as an editor hands it to a validator.
fn json(text: &str) -> Value {
    let table: toml::Table = text.parse().unwrap();
    serde_json::to_value(table).unwrap()
}

#[test]
fn the_sample_is_what_is_declared() {
    assert_is_made(SAMPLE, &show::sample(SAMPLE_OPENING, &Config::describe()));
}

#[test]
fn the_configuration_reference_is_what_is_declared() {
    assert_is_made(REFERENCE, &show::reference(REFERENCE_OPENING, &Config::describe()));
}

#[test]
fn the_schema_is_what_is_declared() {
    assert_is_made(SCHEMA, &Config::json_schema());
}

/// By a validator of the JSON Schema project's own test suite.
#[test]
fn the_schema_accepts_what_the_program_accepts_and_refuses_slips() {
    let schema: Value = serde_json::from_str(&Config::json_schema()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for shipped in [SAMPLE, "config/pin.toml", "config/copy.toml"] {
        let text = fs::read_to_string(shipped).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&json(&text))
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{shipped}: {errors:?}");
        Config::parse(&text, Path::new(shipped)).unwrap();
    }
    let required = "tls.certificates = [{ cert = 'c', key = 'k' }]\nupstream.servers = ['http://app']\n";
    for slip in [
        "head_policy = 'pni'",
        "http.header_timeout = '10 bananas'",
        "http.header_timeout = 10",
        "http.header_timout = '10s'",
        "htpp.header_timeout = '10s'",
        "tunnel.relay_buffer = '64 KiB'",
        "tunnel.relay_buffer = 1",
        "server.workers = 1025",
        "server.listen = 'localhost:8443'",
        "log.access = 'yes'",
        "admin.hosts = 'headpin'",
        "upstream.ca = 5",
    ] {
        let text = format!("{required}{slip}");
        assert!(Config::parse(&text, Path::new("headpin.toml")).is_err(), "{slip}");
        assert!(!validator.is_valid(&json(&text)), "{slip}");
    }
    for incomplete in [
        "",
        "tls.certificates = []\nupstream.servers = ['http://app']",
        "upstream.servers = ['http://app']",
    ] {
        assert!(!validator.is_valid(&json(incomplete)), "{incomplete}");
    }
}
