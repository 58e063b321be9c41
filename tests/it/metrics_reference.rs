//! docs/metrics.md, held against what a running proxy exports.
//!
//! `UPDATE=1 cargo test --test it metrics_reference` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::support::{Origin, Proxy};

const PLACE: &str = "docs/metrics.md";
const INTRODUCTION: &str = "# Metrics

Everything that `/metrics` on the admin address exports. A test writes this page from a running proxy and fails when it
is out of date (`UPDATE=1 cargo test --test it metrics_reference`). Counters are there from the start, with 0. The values
of a label are a closed set: nothing that a client sends becomes one.

| series | type | labels | what |
| --- | --- | --- | --- |
";
/// Labels whose values come from the config or the build, and what to write for them.
const OPEN_LABELS: [(&str, &str); 4] = [
    ("route", "each of `[[routes]]`"),
    ("server", "each of an upstream's `servers`"),
    ("upstream", "`default`, and each of `[upstreams.NAME]`"),
    ("version", "the program's"),
];

/// One series family of a scrape.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
    /// Upper bounds of a histogram's buckets, in order.
    bounds: Vec<String>,
}

/// Reads the text format, as far as this program writes it: no label value here has a quote or a comma in it.
fn families(scrape: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in scrape.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            current = name.to_owned();
            families.entry(current.clone()).or_default().help = help.to_owned();
            continue;
        }
        let family = families.entry(current.clone()).or_default();
        if let Some((_, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            family.kind = kind.to_owned();
        } else if let Some((labels, _)) = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            for (label, value) in labels.split(',').map(|pair| pair.split_once('=').unwrap()) {
                let value = value.trim_matches('"').to_owned();
                if label != "le" {
                    family.labels.entry(label.to_owned()).or_default().insert(value);
                } else if value != "+Inf" {
                    family.bounds.push(value);
                }
            }
        }
    }
    families
}

fn render(families: &BTreeMap<String, Family>) -> String {
    let mut page = INTRODUCTION.to_owned();
    for (name, family) in families {
        let mut labels: Vec<String> = Vec::new();
        for (label, values) in &family.labels {
            let open = OPEN_LABELS.iter().find(|(open, _)| open == label);
            let values = open.map_or_else(
                || {
                    values
                        .iter()
                        .map(|value| format!("`{value}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                },
                |(_, what)| (*what).to_owned(),
            );
            labels.push(format!("`{label}`: {values}"));
        }
        if !family.bounds.is_empty() {
            labels.push(format!("buckets to {}", family.bounds.join(", ")));
        }
        let (kind, help, labels) = (&family.kind, &family.help, labels.join("; "));
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    page
}

#[tokio::test]
async fn the_metrics_reference_is_what_the_proxy_exports() {
    let origin = Origin::demo().await;
    let config = format!(
        "server.workers = 1\nupstream.servers = [\"http://{}\"]\n[[routes]]\nupstream = \"default\"\n",
        origin.address
    );
    let proxy = Proxy::with_routes(&config);
    let (status, scrape) = proxy.admin("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    proxy.stop().await;
    let page = render(&families(&scrape));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PLACE, &page).unwrap();
    }
    let kept = std::fs::read_to_string(PLACE).unwrap_or_default();
    assert!(
        kept == page,
        "{PLACE} is out of date; UPDATE=1 cargo test --test it metrics_reference writes it anew"
    );
}
