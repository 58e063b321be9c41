//! Reads one section of the file, key by key.
//!
//! Not serde's derive, because that stops at the first fault. A reader takes the keys it knows, each with what it
//! accepts and with the default that stands in for a missing *or faulty* value, so that reading always goes on to the
//! end. What is left over at [`Section::finish`] is unknown.

use std::fmt::Display;
use std::path::PathBuf;

use toml::de::{DeArray, DeTable, DeValue};

use super::source::{Entry, Source};

/// How like a known key (Jaro-Winkler, 0 to 1) an unknown one must be to be taken for it.
const LIKENESS_TO_SUGGEST: f64 = 0.8;

/// One table of the file, while it is being read.
#[derive(Debug)]
pub(super) struct Section<'s> {
    source: &'s Source<'s>,
    /// Dotted, empty for the file itself.
    name: String,
    /// Where a missing key would be added.
    line: usize,
    table: DeTable<'s>,
    /// Every key asked for so far: what a reader knows is what it asks for.
    known: Vec<&'static str>,
    /// Whether what stands in the file in place of this section was refused: then it is not said what it lacks.
    refused: bool,
}

impl<'s> Section<'s> {
    /// The file as a whole.
    pub(super) fn whole_file(source: &'s Source<'s>, table: DeTable<'s>) -> Self {
        Self::new(source, String::new(), source.last_line(), table)
    }

    /// The section `key` in this one; an empty one if the file has none.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        match self.take(key) {
            Some(entry) => Self::of_entry(self.source, entry, &format!("a section: [{key}] and its keys below it")),
            None => Self::new(self.source, self.dotted(key), self.line, DeTable::new()),
        }
    }

    /// The items of the array `key`, or none. The list is a required one: missing or empty is a fault, which shows
    /// `example`.
    pub(super) fn required_items(&mut self, key: &'static str, example: &str) -> Vec<Entry<'s>> {
        let Some(entry) = self.take(key) else {
            self.missing(key, example);
            return Vec::new();
        };
        match entry.value {
            DeValue::Array(items) if !items.is_empty() => self.numbered(&entry.key, items),
            _ => {
                self.source
                    .refuse(&entry, format_args!("a list of at least one, such as {example}"));
                Vec::new()
            }
        }
    }

    /// The items of the array `key`, which may be missing or empty, and looks like `example`.
    pub(super) fn items(&mut self, key: &'static str, example: &str) -> Vec<Entry<'s>> {
        let Some(entry) = self.take(key) else {
            return Vec::new();
        };
        match entry.value {
            DeValue::Array(items) => self.numbered(&entry.key, items),
            _ => {
                self.source.refuse(&entry, format_args!("a list such as {example}"));
                Vec::new()
            }
        }
    }

    /// The section that stands as an array's item, which should look like `example`.
    pub(super) fn of_item(&self, item: Entry<'s>, example: &str) -> Self {
        Self::of_entry(self.source, item, example)
    }

    /// The path of a file.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let entry = self.take(key)?;
        self.source.path(&entry)
    }

    /// The path of a file that must be named; `None` has left a fault, which shows `example`.
    pub(super) fn required_path(&mut self, key: &'static str, example: &str) -> Option<PathBuf> {
        let Some(entry) = self.take(key) else {
            self.missing(key, example);
            return None;
        };
        self.source.path(&entry)
    }

    /// Adds the fault that this item's value is not what is `accepted`.
    pub(super) fn refuse(&self, item: &Entry<'_>, accepted: impl Display) {
        self.source.refuse(item, accepted);
    }

    /// Complains about every key that was not asked for.
    pub(super) fn finish(self) {
        for (key, value) in self.table {
            let dotted = dotted(&self.name, key.get_ref());
            let near = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(known, key.get_ref()), known));
            let nearest = near.max_by(|(a, _), (b, _)| a.total_cmp(b));
            let hint = match nearest {
                Some((likeness, known)) if likeness >= LIKENESS_TO_SUGGEST => format!("did you mean \"{known}\"? "),
                _ => String::new(),
            };
            // What a section holds would only hide its name.
            let is_section = value.get_ref().is_table();
            let entry = self.source.entry(dotted, key.span().start, value);
            let written = if is_section { String::new() } else { entry.written };
            let problem = format!("unknown key; {hint}known keys here: {}", self.known.join(", "));
            self.source.fault(entry.line, entry.key, written, problem);
        }
    }

    /// Takes `key` and converts its value, or leaves a fault with what `convert` says is accepted.
    pub(super) fn convert<T>(
        &mut self,
        key: &'static str,
        convert: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let entry = self.take(key)?;
        match convert(&entry.value) {
            Ok(converted) => Some(converted),
            Err(accepted) => {
                self.source.refuse(&entry, accepted);
                None
            }
        }
    }

    fn numbered(&self, key: &str, items: DeArray<'s>) -> Vec<Entry<'s>> {
        let numbered = items.into_iter().enumerate();
        numbered
            .map(|(index, item)| {
                let at = item.span().start;
                self.source.entry(format!("{key}[{index}]"), at, item)
            })
            .collect()
    }

    fn take(&mut self, key: &'static str) -> Option<Entry<'s>> {
        self.known.push(key);
        let (written_key, value) = self.table.remove_entry(key)?;
        Some(self.source.entry(self.dotted(key), written_key.span().start, value))
    }

    fn missing(&self, key: &str, example: &str) {
        if self.refused {
            return;
        }
        let problem = format!("missing; add to {}, for example: {key} = {example}", self.title());
        self.source.fault(self.line, self.dotted(key), String::new(), problem);
    }

    /// The section as the file would write it.
    fn title(&self) -> String {
        match self.name.as_str() {
            "" => "the file".to_owned(),
            item if item.ends_with(']') => item.to_owned(),
            section => format!("[{section}]"),
        }
    }

    fn of_entry(source: &'s Source<'s>, entry: Entry<'s>, accepted: &str) -> Self {
        match entry.value {
            DeValue::Table(table) => Self::new(source, entry.key, entry.line, table),
            _ => {
                source.refuse(&entry, accepted);
                let empty = Self::new(source, entry.key, entry.line, DeTable::new());
                Self { refused: true, ..empty }
            }
        }
    }

    fn new(source: &'s Source<'s>, name: String, line: usize, table: DeTable<'s>) -> Self {
        Self {
            source,
            name,
            line,
            table,
            known: Vec::new(),
            refused: false,
        }
    }

    fn dotted(&self, key: &str) -> String {
        dotted(&self.name, key)
    }
}

fn dotted(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, ConfigError, Fault};

    fn faults_of(text: &str) -> Vec<Fault> {
        match Config::parse(text, Path::new("config/headpin.toml")).unwrap_err() {
            ConfigError::Faults { faults, .. } => faults,
            other => panic!("{other}"),
        }
    }

    fn fault_in_tunnel(line: &str) -> String {
        let text = format!(
            "[tls]\ncertificates = [{{ cert = 'c', key = 'k' }}]\n[upstream]\nservers = ['http://app']\n[tunnel]\n{line}"
        );
        let faults = faults_of(&text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults[0].to_string()
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known_one() {
        assert_eq!(
            fault_in_tunnel("idle_timout = \"1h\""),
            "6: tunnel.idle_timout = \"1h\": unknown key; did you mean \"idle_timeout\"? known keys here: \
             idle_timeout, relay_buffer"
        );
        assert_eq!(
            fault_in_tunnel("zzz = 1"),
            "6: tunnel.zzz = 1: unknown key; known keys here: idle_timeout, relay_buffer"
        );
    }

    #[test]
    fn an_unknown_section_is_told_without_its_content() {
        let told = fault_in_tunnel("[htpp]\nheader_timeout = \"1s\"");
        assert_eq!(
            told,
            "6: htpp: unknown key; did you mean \"http\"? known keys here: head_policy, relay_policy, server, tls, http, tunnel, \
             slabs, upstream, admin, log"
        );
    }

    #[test]
    fn what_is_missing_is_told_with_its_section_and_an_example() {
        let told: Vec<_> = faults_of("# nothing\n[upstream]\n")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "2: tls.certificates: missing; add to [tls], for example: \
                 certificates = [{ cert = \"localhost.pem\", key = \"localhost-key.pem\" }]",
                "2: upstream.servers: missing; add to [upstream], for example: servers = [\"http://127.0.0.1:9001\"]",
            ]
        );
    }

    #[test]
    fn faults_in_items_carry_the_index_and_the_line_of_the_item() {
        let text = "[tls]\ncertificates = [\n  { cert = 'a', key = 'b' },\n  { cert = 'a', kye = 'b' },\n  'a.pem',\n]\n\
                    [upstream]\nservers = []\n";
        let told: Vec<_> = faults_of(text)
            .iter()
            .map(|fault| (fault.line, fault.key.clone()))
            .collect();
        let expected = [
            (4, "tls.certificates[1].key"),
            (4, "tls.certificates[1].kye"),
            (5, "tls.certificates[2]"),
            (8, "upstream.servers"),
        ];
        assert_eq!(told, expected.map(|(line, key)| (line, key.to_owned())));
    }

    #[test]
    fn a_value_in_place_of_a_section_is_one_fault() {
        let faults = faults_of("tls = 5\nupstream = 'http://app'\n");
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(
            faults[0].to_string(),
            "1: tls = 5: accepted is a section: [tls] and its keys below it"
        );
    }

    #[test]
    fn tables_may_be_written_in_any_way_toml_has() {
        let text = "tls.certificates = [{ cert = 'c', key = 'k' }]\nupstream = { servers = ['http://app'] }\n";
        let inline = Config::parse(text, Path::new("headpin.toml")).unwrap();
        let text = "[[tls.certificates]]\ncert = 'c'\nkey = 'k'\n[upstream]\nservers = ['http://app:80']\n";
        assert_eq!(Config::parse(text, Path::new("headpin.toml")).unwrap(), inline);
    }
}
