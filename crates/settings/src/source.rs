//! The text being read: turns places in it into lines, and gathers every fault found in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::{self, Fault, SettingsError};
use super::line::line_of;
use super::section::Section;

/// The longest value that a fault repeats, in characters; the rest is on the line that it names.
const MAX_SHOWN_VALUE: usize = 60;

/// Whether the files that settings name have to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedFiles {
    /// Each must be a file that can be opened.
    MustOpen,
    /// They are not looked at.
    NotLookedAt,
}

/// A text with settings, over which later ones may lie.
#[derive(Debug, Clone)]
pub struct Layer<'t> {
    /// The TOML.
    pub text: &'t str,
    /// What a fault in it begins with: a file's path, or the option that it comes from.
    pub origin: String,
    /// Whether a fault names the line: not for an option.
    pub has_lines: bool,
    /// Where relative paths in it start.
    pub folder: &'t Path,
    /// Tables of it that hold other values for the keys above them; the one that lies over them is chosen.
    pub variants: Variants,
}

/// Tables of a text that hold other values for its keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Variants {
    /// Their names.
    pub all: &'static [&'static str],
    /// The one that counts, if the text has it.
    pub chosen: Option<&'static str>,
}

impl<'t> Layer<'t> {
    /// The file at `path`.
    #[must_use]
    pub fn file(path: &'t Path, text: &'t str) -> Self {
        Self {
            text,
            origin: path.display().to_string(),
            has_lines: true,
            folder: path.parent().unwrap_or_else(|| Path::new("")),
            variants: Variants::default(),
        }
    }

    /// The same text with `variants`.
    #[must_use]
    pub fn with_variants(self, variants: Variants) -> Self {
        Self { variants, ..self }
    }

    /// An option of the command line, as typed.
    #[must_use]
    pub fn option(typed: &str, text: &'t str) -> Self {
        Self {
            text,
            origin: typed.to_owned(),
            has_lines: false,
            folder: Path::new(""),
            variants: Variants::default(),
        }
    }
}

/// The layers being read, and what has been found wrong with them so far.
#[derive(Debug)]
pub struct Sources<'t>(Vec<Source<'t>>);

/// One layer being read.
///
/// Sections are read side by side and all add to the one list of faults: hence the cells.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    layer: Layer<'t>,
    named_files: NamedFiles,
    faults: RefCell<Vec<Fault>>,
    /// Faults of combinations. They are kept apart because a key with one of them still has a value of its own.
    combined: RefCell<Vec<Fault>>,
    /// Line and text of every value read, for faults that only show when several values are known.
    places: RefCell<BTreeMap<String, (usize, String)>>,
}

/// A value together with its dotted key and its place in the text.
#[derive(Debug)]
pub struct Entry<'t> {
    source: &'t Source<'t>,
    key: String,
    line: usize,
    /// The value as written, shortened to one line.
    written: String,
    /// What is accepted as well.
    word: Option<&'static str>,
    /// The value.
    pub value: DeValue<'t>,
}

/// Reads `layers`, each key from the last one that has it. `take` reads the sections, and then may find faults that show
/// only when several values are known.
///
/// # Errors
/// A text is not TOML; else all faults together.
pub fn read<T>(
    layers: Vec<Layer<'_>>,
    named_files: NamedFiles,
    take: impl FnOnce(Section<'_>, &Sources<'_>) -> T,
) -> Result<T, SettingsError> {
    let mut tables = Vec::with_capacity(layers.len());
    for layer in &layers {
        let table = DeTable::parse(layer.text).map_err(|error| error::syntax(layer, &error))?;
        tables.push(table.into_inner());
    }
    let sources = Sources(
        layers
            .into_iter()
            .map(|layer| Source::new(layer, named_files))
            .collect(),
    );
    let mut parts = Vec::new();
    for (source, mut table) in sources.0.iter().zip(tables) {
        let Variants { all, chosen } = source.layer.variants;
        let mut over = None;
        for name in all {
            let variant = table.remove(*name);
            if chosen == Some(*name) {
                over = variant;
            }
        }
        parts.push((source, table));
        match over.map(|over| (over.span(), over.into_inner())) {
            Some((_, DeValue::Table(over))) => parts.push((source, over)),
            Some((span, other)) => {
                let name = chosen.unwrap_or_default();
                let entry = Entry::new(source, name.to_owned(), span.start, Spanned::new(span, other));
                entry.refuse(format_args!("a section: [{name}] and its keys below it"));
            }
            None => {}
        }
    }
    let taken = take(Section::of_layers(parts.into_iter()), &sources);
    sources.finish(taken)
}

impl Sources<'_> {
    /// Whether a text has a value for `key`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|source| source.place(key).is_some())
    }

    /// Adds a fault of the combination of `keys`. It is blamed on the key that the last text writes, and on the first of
    /// several that this text writes: the values that were there before went together.
    ///
    /// Nothing is added if one of the keys has a fault already: its value is then only a stand-in.
    pub fn refuse_together(&self, keys: &[&str], problem: String) {
        if keys.iter().any(|key| self.0.iter().any(|source| source.is_faulty(key))) {
            return;
        }
        let in_source = |source| {
            keys.iter()
                .find_map(|key| Some((source, Source::place(source, key)?, *key)))
        };
        let written = self.0.iter().rev().find_map(in_source);
        let blamed = written.or_else(|| {
            let source = self.0.first()?;
            Some((source, (source.last_line(), String::new()), *keys.first()?))
        });
        if let Some((source, (line, value), key)) = blamed {
            let fault = source.new_fault(line, key.to_owned(), value, problem);
            source.combined.borrow_mut().push(fault);
        }
    }

    /// Hands out `checked` if nothing was found wrong, else every fault, by text and line.
    fn finish<T>(self, checked: T) -> Result<T, SettingsError> {
        let mut all = Vec::new();
        for source in self.0 {
            let mut faults = source.faults.into_inner();
            faults.append(&mut source.combined.into_inner());
            faults.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
            all.append(&mut faults);
        }
        if all.is_empty() {
            Ok(checked)
        } else {
            Err(SettingsError::Faults { faults: all })
        }
    }
}

impl<'t> Source<'t> {
    fn new(layer: Layer<'t>, named_files: NamedFiles) -> Self {
        Self {
            layer,
            named_files,
            faults: RefCell::default(),
            combined: RefCell::default(),
            places: RefCell::default(),
        }
    }

    fn place(&self, key: &str) -> Option<(usize, String)> {
        self.places.borrow().get(key).cloned()
    }

    /// Where something that is missing would be added: the last line.
    pub(crate) fn last_line(&self) -> usize {
        self.layer.text.lines().count().max(1)
    }

    pub(crate) fn fault(&self, line: usize, key: String, value: String, problem: String) {
        let fault = self.new_fault(line, key, value, problem);
        self.faults.borrow_mut().push(fault);
    }

    fn new_fault(&self, line: usize, key: String, value: String, problem: String) -> Fault {
        Fault {
            origin: self.layer.origin.clone(),
            line: self.layer.has_lines.then_some(line),
            key,
            value,
            problem,
        }
    }

    /// Whether a value was refused at `key`, in what it holds, or in a section that it is in.
    fn is_faulty(&self, key: &str) -> bool {
        let faults = self.faults.borrow();
        faults
            .iter()
            .any(|fault| is_within(&fault.key, key) || is_within(key, &fault.key))
    }
}

impl<'t> Entry<'t> {
    /// An entry for the value of `key`, whose line is that of `at`: where the key, or an array's item, starts.
    pub(crate) fn new(source: &'t Source<'t>, key: String, at: usize, value: Spanned<DeValue<'t>>) -> Self {
        let text = source.layer.text;
        let line = line_of(text, at);
        let written = text.get(value.span()).map(shorten).unwrap_or_default();
        let place = (line, written.clone());
        source.places.borrow_mut().insert(key.clone(), place);
        Self {
            source,
            key,
            line,
            written,
            word: None,
            value: value.into_inner(),
        }
    }

    /// Adds the fault that this value is not what is `accepted`.
    pub fn refuse(&self, accepted: impl Display) {
        let or = self.word.map(|word| format!(", or \"{word}\"")).unwrap_or_default();
        self.fault(format!("accepted is {accepted}{or}"));
    }

    /// The same entry, where `word` is accepted as well.
    #[must_use]
    pub fn or_word(self, word: &'static str) -> Self {
        Self {
            word: Some(word),
            ..self
        }
    }

    pub(crate) fn fault(&self, problem: String) {
        self.source
            .fault(self.line, self.key.clone(), self.written.clone(), problem);
    }

    /// The same without the value, whose content would only hide its name.
    pub(crate) fn fault_of_section(&self, problem: String) {
        self.source.fault(self.line, self.key.clone(), String::new(), problem);
    }

    /// The same place without the value, for a fault that shows later.
    pub(crate) fn place(&self) -> Self {
        Self {
            source: self.source,
            key: self.key.clone(),
            line: self.line,
            written: self.written.clone(),
            word: self.word,
            value: DeValue::Boolean(false),
        }
    }

    /// The items of an array, each with its index; the entry itself if it is none.
    ///
    /// # Errors
    /// The entry, if it is not an array.
    pub fn into_items(self) -> Result<Vec<Self>, Self> {
        let Self { source, key, value, .. } = match self.value {
            DeValue::Array(_) => self,
            _ => return Err(self),
        };
        let items = match value {
            DeValue::Array(items) => items,
            _ => DeArray::new(),
        };
        let numbered = items.into_iter().enumerate();
        Ok(numbered
            .map(|(index, item)| {
                let at = item.span().start;
                Self::new(source, format!("{key}[{index}]"), at, item)
            })
            .collect())
    }

    /// The section that stands here, which should be what is `accepted`.
    #[must_use]
    pub fn into_section(self, accepted: &str) -> Section<'t> {
        let Self { source, key, line, .. } = &self;
        let (source, key, line) = (*source, key.clone(), *line);
        match self.value {
            DeValue::Table(table) => Section::new(source, key, line, table),
            _ => {
                self.refuse(accepted);
                Section::refused(source, key, line)
            }
        }
    }

    /// Where a path starts that is relative, and whether the file must open.
    pub(crate) fn files(&self) -> (PathBuf, NamedFiles) {
        (self.source.layer.folder.to_owned(), self.source.named_files)
    }
}

/// Whether the dotted `key` is `outer` or below it.
fn is_within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
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
