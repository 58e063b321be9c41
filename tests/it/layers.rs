//! The table of layers in docs/architecture.md, held against the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of the table: module to layer.
fn layers() -> BTreeMap<String, usize> {
    let text = fs::read_to_string("docs/architecture.md").unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let layer: usize = cells.next()?.trim().parse().ok()?;
        Some((layer, cells.next()?.to_owned()))
    });
    let mut layers = BTreeMap::new();
    for (layer, places) in rows {
        for place in places.split('`').skip(1).step_by(2) {
            let module = place.trim_end_matches('/').trim_end_matches(".rs");
            assert!(
                layers.insert(module.to_owned(), layer).is_none(),
                "{module} is in the table twice"
            );
        }
    }
    layers
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules of this crate that a source names.
fn uses(text: &str) -> Vec<String> {
    let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    let mut named = Vec::new();
    for line in code {
        for prefix in ["crate::", "headpin::"] {
            // In quotes it is the name of a log target.
            for (at, _) in line.match_indices(prefix).filter(|(at, _)| !line[..*at].ends_with('"')) {
                let rest = &line[at + prefix.len()..];
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len());
                named.push(rest[..end].to_owned());
            }
        }
    }
    named
}

/// The answers of "Where is ...?" in the same document.
#[test]
fn what_a_newcomer_asks_for_is_where_the_document_says() {
    let text = fs::read_to_string("docs/architecture.md").unwrap();
    let questions = text.lines().filter(|line| line.starts_with("| Where "));
    let places: Vec<&str> = questions.filter_map(|line| line.split('`').nth(1)).collect();
    assert!(places.len() >= 10, "{places:?}");
    for place in places {
        assert!(Path::new(place).is_file(), "{place} is not there");
    }
}

#[test]
fn a_module_uses_only_modules_of_lower_layers() {
    let layers = layers();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix("src").unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let own = *layers
            .get(module)
            .unwrap_or_else(|| panic!("{module} is not in the table"));
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            match layers.get(&used) {
                _ if used == module => {}
                Some(layer) if *layer < own => {}
                Some(layer) => wrong.push(format!("{} (layer {own}) uses {used} (layer {layer})", file.display())),
                None => wrong.push(format!("{} uses {used}, which is not in the table", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
