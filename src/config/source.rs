//! The file being read: turns places in its text into lines, and gathers every fault found in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, Fault};
use super::line::line_of;
use super::obstacle::remedy;

/// Longest value that a fault repeats, in characters; the rest is on the line that it names.
const MAX_SHOWN_VALUE: usize = 60;

/// Whether the files that the configuration names have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedFiles {
    /// Each must be a file that can be opened.
    MustOpen,
    /// They are not looked at.
    NotLookedAt,
}

/// The text of a file, and what has been found wrong with it so far.
///
/// Sections read side by side and all add to the one list of faults: hence the cells.
#[derive(Debug)]
pub(super) struct Source<'t> {
    text: &'t str,
    folder: &'t Path,
    named_files: NamedFiles,
    faults: RefCell<Vec<Fault>>,
    /// Line and text of every value read, for faults that only show when several values are known.
    places: RefCell<BTreeMap<String, (usize, String)>>,
}

/// A value together with its dotted key and its place in the file.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) key: String,
    pub(super) line: usize,
    /// The value as written, shortened to one line.
    pub(super) written: String,
    pub(super) value: DeValue<'t>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str, path: &'t Path, named_files: NamedFiles) -> Self {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self {
            text,
            folder,
            named_files,
            faults: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// Hands out `checked` if nothing was found wrong, else every fault by line.
    pub(super) fn finish<T>(self, path: &Path, checked: T) -> Result<T, ConfigError> {
        let mut faults = self.faults.into_inner();
        if faults.is_empty() {
            return Ok(checked);
        }
        faults.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
        Err(ConfigError::Faults {
            path: path.to_owned(),
            faults,
        })
    }

    /// An entry for the value of `key`, whose line is that of `at`: where the key, or an array's item, starts.
    pub(super) fn entry(&self, key: String, at: usize, value: Spanned<DeValue<'t>>) -> Entry<'t> {
        let line = self.line_of(at);
        let written = self.text.get(value.span()).map(shorten).unwrap_or_default();
        self.places.borrow_mut().insert(key.clone(), (line, written.clone()));
        Entry {
            key,
            line,
            written,
            value: value.into_inner(),
        }
    }

    /// The line, from 1, of a byte of the text.
    pub(super) fn line_of(&self, at: usize) -> usize {
        line_of(self.text, at)
    }

    /// Where something that is missing would be added: the last line.
    pub(super) fn last_line(&self) -> usize {
        self.text.lines().count().max(1)
    }

    pub(super) fn fault(&self, line: usize, key: String, value: String, problem: String) {
        self.faults.borrow_mut().push(Fault {
            line,
            key,
            value,
            problem,
        });
    }

    /// Adds the fault that this entry's value is not what is `accepted`.
    pub(super) fn refuse(&self, entry: &Entry<'_>, accepted: impl std::fmt::Display) {
        self.fault(
            entry.line,
            entry.key.clone(),
            entry.written.clone(),
            format!("accepted is {accepted}"),
        );
    }

    /// Adds a fault of the combination of two keys, at the first of them that the file writes: the other has its
    /// default.
    pub(super) fn refuse_together(&self, keys: [&str; 2], problem: String) {
        let places = self.places.borrow();
        let written = keys
            .into_iter()
            .find_map(|key| places.get(key).map(|place| (key, place.clone())));
        let (key, (line, value)) = written.unwrap_or_else(|| (keys[0], (self.last_line(), String::new())));
        self.fault(line, key.to_owned(), value, problem);
    }

    /// The path of a file that the configuration names: relative ones start at the configuration's own folder.
    pub(super) fn path(&self, entry: &Entry<'_>) -> Option<PathBuf> {
        let Some(text) = entry.value.as_str().filter(|text| !text.is_empty()) else {
            self.refuse(entry, "the path of a file, relative to this file's folder or absolute");
            return None;
        };
        let path = self.folder.join(text);
        if self.named_files == NamedFiles::MustOpen
            && let Some(obstacle) = cannot_open(&path)
        {
            self.refuse(
                entry,
                format_args!(
                    "a file that can be read; {} {obstacle}{}",
                    path.display(),
                    for_trying_out(&path).unwrap_or_default()
                ),
            );
            return None;
        }
        Some(path)
    }
}

fn cannot_open(path: &Path) -> Option<String> {
    match path.metadata() {
        // Opening a named pipe would wait for a writer, so what is no file is not opened.
        Ok(found) if !found.is_file() => Some("is not a file".to_owned()),
        Ok(_) => File::open(path)
            .err()
            .map(|error| format!("cannot be opened: {error}{}", remedy(path, &error))),
        Err(error) => Some(format!("cannot be found: {error}{}", remedy(path, &error))),
    }
}

/// What makes the file that the shipped configurations name: `headpin certs` writes it under this name.
fn for_trying_out(path: &Path) -> Option<String> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    let is_missing = path.metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    (name == "localhost.pem" && is_missing).then(|| {
        format!(
            "; for trying it out, `headpin certs --out {}` makes one",
            folder.display()
        )
    })
}

/// On one line, and cut where it gets long.
fn shorten(written: &str) -> String {
    let line = written.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_SHOWN_VALUE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shown_on_one_line_and_cut() {
        assert_eq!(shorten("[\n  1,\n  2,\n]"), "[ 1, 2, ]");
        assert_eq!(shorten(&"é".repeat(100)), format!("{}...", "é".repeat(MAX_SHOWN_VALUE)));
    }
}
