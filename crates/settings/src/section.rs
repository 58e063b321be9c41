//! Reads one section, key by key.
//!
//! A reader takes the keys it knows, each with what it accepts and with the value that stands in for a missing *or faulty*
//! one, so that reading always goes on to the end. What is left over at [`Section::finish`] is unknown.

use toml::de::DeTable;

use super::declare::dotted;
use super::describe::Presence;
use super::kind::Kind;
use super::source::{Entry, Source};

/// How like a known key (Jaro-Winkler, 0 to 1) an unknown one must be to be taken for it.
const LIKENESS_TO_SUGGEST: f64 = 0.8;

/// One table, while it is being read.
#[derive(Debug)]
pub struct Section<'s> {
    source: &'s Source<'s>,
    /// Dotted, empty for the text itself.
    name: String,
    /// Where a missing key would be added.
    line: usize,
    /// By name within the section.
    entries: Vec<(String, Entry<'s>)>,
    /// Every key asked for so far: what a reader knows is what it asks for.
    known: Vec<&'static str>,
    /// Whether what stands in the text in place of this section was refused, or nothing has to: then it is not said what it lacks.
    refused: bool,
}

impl<'s> Section<'s> {
    /// Whole texts, each key from the last one that has it.
    pub(crate) fn of_layers(layers: impl Iterator<Item = (&'s Source<'s>, DeTable<'s>)>) -> Self {
        let mut whole: Option<Self> = None;
        for (source, table) in layers {
            let section = Self::new(source, String::new(), source.last_line(), table);
            match &mut whole {
                Some(whole) => {
                    let is_new = |key: &str| section.entries.iter().any(|(new, _)| new == key);
                    whole.entries.retain(|(key, _)| !is_new(key));
                    whole.entries.extend(section.entries);
                }
                None => whole = Some(section),
            }
        }
        whole.expect("there is at least one layer")
    }

    pub(crate) fn new(source: &'s Source<'s>, name: String, line: usize, table: DeTable<'s>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let plain = key.get_ref().to_string();
            let entry = Entry::new(source, dotted(&name, &plain), key.span().start, value);
            (plain, entry)
        });
        Self {
            source,
            entries: entries.collect(),
            name,
            line,
            known: Vec::new(),
            refused: false,
        }
    }

    /// One in whose place something else stands, which was refused.
    pub(crate) fn refused(source: &'s Source<'s>, name: String, line: usize) -> Self {
        Self {
            refused: true,
            ..Self::new(source, name, line, DeTable::new())
        }
    }

    /// The section `key` in this one; an empty one if the text has none.
    #[must_use]
    pub fn section(&mut self, key: &'static str) -> Self {
        match self.take(key) {
            Some(entry) => entry.into_section(&format!("a section: [{key}] and its keys below it")),
            None => Self::new(self.source, dotted(&self.name, key), self.line, DeTable::new()),
        }
    }

    /// The same, of which nothing is missing where the text does not have it.
    #[must_use]
    pub fn section_if_there(&mut self, key: &'static str) -> Self {
        let is_there = self.entries.iter().any(|(name, _)| name == key);
        let section = self.section(key);
        Self {
            refused: section.refused || !is_there,
            ..section
        }
    }

    /// The value of `key`; `stand_in` if it is missing or faulty. Missing, it is a fault where it is required.
    pub fn key<K: Kind>(&mut self, key: &'static str, kind: &K, stand_in: K::Value, presence: Presence) -> K::Value {
        match (self.take(key), presence) {
            (Some(entry), _) => kind.read(entry).unwrap_or(stand_in),
            (None, Presence::Required(example)) => {
                self.missing(key, example);
                stand_in
            }
            (None, Presence::Default | Presence::LeftOut(_)) => stand_in,
        }
    }

    /// Every key that was not asked for, as the name of a table each.
    pub(crate) fn into_named(self) -> impl Iterator<Item = (String, Entry<'s>)> {
        self.entries.into_iter()
    }

    /// Complains about every key that was not asked for.
    pub fn finish(self) {
        for (key, entry) in self.entries {
            let near = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(known, &key), known));
            let nearest = near.max_by(|(a, _), (b, _)| a.total_cmp(b));
            let hint = match nearest {
                Some((likeness, known)) if likeness >= LIKENESS_TO_SUGGEST => format!("did you mean \"{known}\"? "),
                _ => String::new(),
            };
            let problem = format!("unknown key; {hint}known keys here: {}", self.known.join(", "));
            if entry.value.is_table() {
                entry.fault_of_section(problem);
            } else {
                entry.fault(problem);
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Entry<'s>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    fn missing(&self, key: &str, example: &str) {
        if self.refused {
            return;
        }
        let problem = format!("missing; add to {}, for example: {key} = {example}", self.title());
        self.source
            .fault(self.line, dotted(&self.name, key), String::new(), problem);
    }

    /// The section as the text would write it.
    fn title(&self) -> String {
        match self.name.as_str() {
            "" => "the file".to_owned(),
            item if item.ends_with(']') => item.to_owned(),
            section => format!("[{section}]"),
        }
    }
}
