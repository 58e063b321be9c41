//! Scenarios: an experiment as plain data.
//!
//! ```text
//!  embedded TOML ─► + [fast] or [smoke] ─► + --scenario FILE ─► + --set key=value ─► Scenario
//!       └─ its keys are the ones that are accepted
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::units::{parse_bytes, parse_duration};

/// What every scenario's file is called, and the file.
const EMBEDDED: [(&str, &str); 5] = [
    ("head", include_str!("../../config/lab/head.toml")),
    ("uploads", include_str!("../../config/lab/uploads.toml")),
    ("idle", include_str!("../../config/lab/idle.toml")),
    ("backpressure", include_str!("../../config/lab/backpressure.toml")),
    ("trend", include_str!("../../config/lab/trend.toml")),
];

/// Tables of a scenario's file that hold other numbers for the same keys.
const VARIANTS: [&str; 2] = ["fast", "smoke"];

/// Why there is no such scenario. The user's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// No embedded scenario has that name.
    #[error("there is no scenario {name:?}{}; accepted: {}", meant(name, names()), names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Something is no TOML.
    #[error("{from} is no TOML: {why}")]
    Syntax {
        /// The file or the option.
        from: String,
        /// What the parser says.
        why: String,
    },
    /// Keys that the scenario does not have, and values that its keys do not take: all of them.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
}

/// Which numbers of a scenario are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// The file's own.
    #[default]
    Full,
    /// The same ratios in well under a minute.
    Fast,
    /// Small enough for a test.
    Smoke,
}

impl Variant {
    /// Its table in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Fast => "fast",
            Self::Smoke => "smoke",
        }
    }
}

/// Where a scenario's numbers come from, the later ones over the earlier.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The embedded scenario; with a file, the file's `kind` decides.
    pub name: Option<String>,
    /// Which of its numbers.
    pub variant: Variant,
    /// A file with other numbers.
    pub file: Option<PathBuf>,
    /// `key=value`.
    pub sets: Vec<String>,
}

/// One experiment.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its file's name.
    pub name: String,
    /// Which numbers were taken.
    pub variant: Variant,
    /// The numbers that every experiment has.
    pub common: Common,
    /// Its own.
    pub experiment: Experiment,
    /// All numbers, as they stand in a file.
    pub table: Table,
}

/// What every experiment has.
#[derive(Clone, Debug, Deserialize)]
pub struct Common {
    /// One line about it.
    pub title: String,
    /// Makes chance repeatable.
    pub seed: u64,
    /// Threads of the proxy.
    pub workers: usize,
    /// Bytes of a tls slab.
    #[serde(deserialize_with = "bytes")]
    pub tls_slab: u64,
    /// Bytes of a tcp slab.
    #[serde(deserialize_with = "bytes")]
    pub tcp_slab: u64,
    /// How often is looked.
    #[serde(deserialize_with = "duration")]
    pub tick: Duration,
}

/// The experiments, each with its numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Experiment {
    /// Tunnels arrive while data fills slabs.
    Head(Traffic),
    /// The four corners.
    Uploads(Traffic),
    /// What an idle tunnel costs.
    Idle(Idle),
    /// Slow readers.
    Backpressure(Backpressure),
    /// A bursty load and two detectors.
    Trend(Trend),
}

/// Data and tunnels.
#[derive(Clone, Debug, Deserialize)]
pub struct Traffic {
    /// Data before anything is measured.
    #[serde(deserialize_with = "duration")]
    pub warmup: Duration,
    /// What is measured.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// Connections that upload.
    pub data_connections: usize,
    /// Bytes a second that all of them upload.
    #[serde(deserialize_with = "bytes")]
    pub byte_rate: u64,
    /// Bytes of one upload.
    #[serde(deserialize_with = "bytes")]
    pub chunk: u64,
    /// Tunnels that arrive in a second, on average.
    pub tunnel_rate: f64,
    /// How long a tunnel lives on average; `None` is forever.
    #[serde(deserialize_with = "lifetime")]
    pub tunnel_lifetime: Option<Duration>,
    /// Bytes of the message that comes with the upgrade request.
    pub head_bytes: usize,
}

/// Idle tunnels and a push.
#[derive(Clone, Debug, Deserialize)]
pub struct Idle {
    /// How many.
    pub tunnels: usize,
    /// New ones in a second at most.
    pub tunnel_rate: f64,
    /// How long memory is left alone before it is read.
    #[serde(deserialize_with = "duration")]
    pub settle: Duration,
    /// Bytes of the message.
    pub message: usize,
}

/// Slow readers.
#[derive(Clone, Debug, Deserialize)]
pub struct Backpressure {
    /// How many.
    pub readers: u64,
    /// Bytes of each download.
    #[serde(deserialize_with = "bytes")]
    pub download: u64,
    /// Bytes a second that each reader takes.
    #[serde(deserialize_with = "bytes")]
    pub read_rate: u64,
    /// The kernel's receive buffer of each.
    #[serde(deserialize_with = "bytes")]
    pub receive_buffer: u64,
    /// Before they come.
    #[serde(deserialize_with = "duration")]
    pub warmup: Duration,
    /// How long they read.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// How long memory is watched after they left.
    #[serde(deserialize_with = "duration")]
    pub settle: Duration,
}

/// Bursts, and when a detector is sure.
#[derive(Clone, Debug, Deserialize)]
pub struct Trend {
    /// The load between bursts.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// From one burst to the next.
    #[serde(deserialize_with = "duration")]
    pub burst_every: Duration,
    /// Tunnels that come with a burst.
    pub burst_tunnels: usize,
    /// How long they stay, and the data flows.
    #[serde(deserialize_with = "duration")]
    pub burst_lasts: Duration,
    /// The trend above which a detector suspects a leak.
    pub threshold: f64,
    /// Samples in a row above it that make it sure.
    pub confirm: usize,
}

/// The names of the embedded scenarios.
#[must_use]
pub fn names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|(name, _)| *name).collect()
}

/// Name and title of each embedded scenario.
///
/// # Errors
/// Never, as a test sees to.
pub fn titles() -> Result<Vec<(&'static str, String)>, ScenarioError> {
    let title = |name: &&'static str| {
        let choice = Choice {
            name: Some((*name).to_owned()),
            ..Choice::default()
        };
        Scenario::choose(&choice).map(|scenario| (*name, scenario.common.title))
    };
    names().iter().map(title).collect()
}

impl Scenario {
    /// Puts one together.
    ///
    /// # Errors
    /// [`ScenarioError`], with what is accepted.
    pub fn choose(choice: &Choice) -> Result<Self, ScenarioError> {
        let file = choice.file.as_deref().map(read).transpose()?;
        let kind = file
            .as_ref()
            .and_then(|table| table.get("kind")?.as_str().map(str::to_owned));
        let name = match (&choice.name, kind) {
            (Some(name), _) => name.clone(),
            (None, Some(kind)) => kind,
            (None, None) => {
                return Err(ScenarioError::Faults(vec![format!(
                    "name a scenario, or give a file with its kind; accepted: {}",
                    names().join(", ")
                )]));
            }
        };
        let Some((_, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) else {
            return Err(ScenarioError::Unknown { name });
        };
        let mut table = parse(text, &name)?;
        let variants = split(&mut table);
        let mut faults = Vec::new();
        overlay(&mut table, variants, choice.variant, &name, &mut faults);
        let base = table.clone();
        if let Some(mut own) = file {
            let variants = split(&mut own);
            lay_over(&mut table, own, &name, &mut faults);
            overlay(&mut table, variants, choice.variant, &name, &mut faults);
        }
        for set in &choice.sets {
            match parse_set(set) {
                Ok(own) => lay_over(&mut table, own, &name, &mut faults),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(ScenarioError::Faults(faults));
        }
        Self::from_table(name, choice.variant, table, &base)
    }

    /// `base` is the same scenario with nothing of the user's in it.
    fn from_table(name: String, variant: Variant, table: Table, base: &Table) -> Result<Self, ScenarioError> {
        let read = |table: &Table| -> Result<(Common, Experiment), toml::de::Error> {
            Ok((table.clone().try_into()?, table.clone().try_into()?))
        };
        let (common, experiment) = read(&table).map_err(|error| {
            // Serde does not tell the key: each is tried alone.
            let refused = |(key, value): (&String, &Value)| {
                let mut alone = base.clone();
                alone.insert(key.clone(), value.clone());
                let error = read(&alone).err()?;
                Some(format!("{key} = {value}: {}", error.to_string().trim()))
            };
            let mut faults: Vec<String> = table.iter().filter_map(refused).collect();
            if faults.is_empty() {
                faults.push(format!("{name}: {}", error.to_string().trim()));
            }
            ScenarioError::Faults(faults)
        })?;
        let scenario = Self {
            name,
            variant,
            common,
            experiment,
            table,
        };
        let faults = scenario.faults();
        if faults.is_empty() {
            Ok(scenario)
        } else {
            Err(ScenarioError::Faults(faults))
        }
    }

    /// Numbers that no run can do anything with.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |good: bool, key: &str, accepted: &str| {
            if !good {
                let value = self.table.get(key).map(ToString::to_string).unwrap_or_default();
                faults.push(format!("{key} = {value}: accepted is {accepted}"));
            }
        };
        let Common { workers, tick, .. } = self.common;
        demand((1..=64).contains(&workers), "workers", "1 to 64");
        demand(tick >= Duration::from_millis(10), "tick", "10ms or more");
        match &self.experiment {
            Experiment::Head(traffic) | Experiment::Uploads(traffic) | Experiment::Trend(Trend { traffic, .. }) => {
                demand(traffic.data_connections > 0, "data_connections", "1 or more");
                demand(traffic.byte_rate > 0, "byte_rate", "a number of bytes above 0");
                demand(traffic.chunk > 0, "chunk", "a number of bytes above 0");
                let rate = traffic.tunnel_rate;
                demand(rate.is_finite() && rate > 0.0, "tunnel_rate", "a number above 0");
                demand(traffic.duration >= tick * 10, "duration", "ten times the tick or more");
                demand(traffic.head_bytes <= 125, "head_bytes", "0 to 125");
            }
            Experiment::Idle(idle) => {
                demand(idle.tunnels > 0, "tunnels", "1 or more");
                let rate = idle.tunnel_rate;
                demand(rate.is_finite() && rate > 0.0, "tunnel_rate", "a number above 0");
                demand((1..=65_536).contains(&idle.message), "message", "1 to 65536");
            }
            Experiment::Backpressure(slow) => {
                demand(slow.readers > 0, "readers", "1 or more");
                demand(slow.download > 0, "download", "a number of bytes above 0");
            }
        }
        if let Experiment::Trend(trend) = &self.experiment {
            demand(trend.threshold > 0.0, "threshold", "a number above 0");
            demand(trend.confirm > 0, "confirm", "1 or more");
            demand(
                trend.burst_lasts < trend.burst_every,
                "burst_lasts",
                "shorter than burst_every",
            );
        }
        faults
    }
}

fn read(path: &Path) -> Result<Table, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, &path.display().to_string())
}

fn parse(text: &str, from: &str) -> Result<Table, ScenarioError> {
    text.parse().map_err(|error: toml::de::Error| ScenarioError::Syntax {
        from: from.to_owned(),
        why: error.to_string().trim().to_owned(),
    })
}

/// `key=value`; a value that is no TOML is a string, so that `--set byte_rate=2MB` needs no quotes.
fn parse_set(set: &str) -> Result<Table, String> {
    let Some((key, value)) = set.split_once('=') else {
        return Err(format!("--set {set}: accepted is key=value, such as byte_rate=2MB"));
    };
    let (key, value) = (key.trim(), value.trim());
    let parsed = format!("value = {value}").parse::<Table>().ok();
    let value = parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    Ok(Table::from_iter([(key.to_owned(), value)]))
}

/// Takes the variants out of a file's table.
fn split(table: &mut Table) -> Table {
    let variant = |name: &str| table.remove(name).map(|variant| (name.to_owned(), variant));
    VARIANTS.map(variant).into_iter().flatten().collect()
}

fn overlay(table: &mut Table, mut variants: Table, variant: Variant, name: &str, faults: &mut Vec<String>) {
    match variants.remove(variant.name()) {
        Some(Value::Table(own)) => lay_over(table, own, name, faults),
        Some(_) => faults.push(format!("[{}] of {name} is no table", variant.name())),
        None => {}
    }
}

fn lay_over(table: &mut Table, own: Table, name: &str, faults: &mut Vec<String>) {
    for (key, value) in own {
        match table.get_mut(&key) {
            Some(_) if key == "kind" && value.as_str() != Some(name) => {
                faults.push(format!("kind = {value}: accepted is {name:?} here"));
            }
            Some(known) => *known = value,
            None => faults.push(unknown(&key, table, name)),
        }
    }
}

fn unknown(key: &str, table: &Table, name: &str) -> String {
    let meant = meant(key, table.keys().map(String::as_str));
    let accepted: Vec<&str> = table.keys().map(String::as_str).filter(|key| *key != "kind").collect();
    format!("{name} has no key {key:?}{meant}; accepted: {}", accepted.join(", "))
}

/// The known word that is nearest to what was typed, as a question.
fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|word| (strsim::levenshtein(word, typed), word))
        .min();
    let near = near.filter(|(distance, _)| *distance <= 2);
    near.map_or_else(String::new, |(_, word)| format!(" (did you mean {word}?)"))
}

/// A value as it is written, whatever its type: what is accepted is told by who reads it.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse_bytes(&text(deserializer)?).map_err(serde::de::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&text(deserializer)?).map_err(serde::de::Error::custom)
}

fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = text(deserializer)?;
    if text == "forever" {
        return Ok(None);
    }
    match parse_duration(&text) {
        Ok(lifetime) if !lifetime.is_zero() => Ok(Some(lifetime)),
        Ok(_) => Err(serde::de::Error::custom(
            "a lifetime of nothing; accepted: 30s, 5m, forever",
        )),
        Err(why) => Err(serde::de::Error::custom(why + ", forever")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: &str, variant: Variant, sets: &[&str]) -> Result<Scenario, String> {
        let choice = Choice {
            name: Some(name.to_owned()),
            variant,
            file: None,
            sets: sets.iter().map(ToString::to_string).collect(),
        };
        Scenario::choose(&choice).map_err(|error| error.to_string())
    }

    #[test]
    fn every_embedded_scenario_is_good_in_every_variant() {
        for name in names() {
            for variant in [Variant::Full, Variant::Fast, Variant::Smoke] {
                let scenario = chosen(name, variant, &[]).unwrap();
                assert_eq!(scenario.table["kind"].as_str(), Some(name));
            }
        }
        assert_eq!(titles().unwrap().len(), 5);
    }

    #[test]
    fn the_fast_head_keeps_the_ratio_of_the_full_one() {
        let ratio = |variant| {
            let scenario = chosen("head", variant, &[]).unwrap();
            let Experiment::Head(traffic) = scenario.experiment else {
                panic!()
            };
            traffic.tunnel_rate * scenario.common.tls_slab as f64 / traffic.byte_rate as f64
        };
        assert!((ratio(Variant::Full) / ratio(Variant::Fast) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_number_is_set_by_key_and_a_wrong_one_tells_what_is_accepted() {
        let scenario = chosen(
            "head",
            Variant::Fast,
            &["byte_rate=3MB", "workers = 2", "tunnel_lifetime=4s"],
        )
        .unwrap();
        let Experiment::Head(traffic) = &scenario.experiment else {
            panic!()
        };
        assert_eq!((traffic.byte_rate, scenario.common.workers), (3_000_000, 2));
        assert_eq!(traffic.tunnel_lifetime, Some(Duration::from_secs(4)));
        for (name, set, says) in [
            ("heads", "a=b", "accepted: head, uploads, idle, backpressure, trend"),
            ("head", "byterate=1", "did you mean byte_rate?"),
            ("head", "tunnels=1", "accepted: "),
            ("head", "byte_rate=fast", "accepted: 4096"),
            (
                "head",
                "duration=10",
                "duration = 10: \"10\" is no length of time; accepted",
            ),
            ("head", "workers=0", "accepted is 1 to 64"),
            ("head", "tunnel_lifetime=0s", "forever"),
            ("head", "nothing", "accepted is key=value"),
        ] {
            let told = chosen(name, Variant::Full, &[set]).unwrap_err();
            assert!(told.contains(says), "{set}: {told}");
        }
    }

    #[test]
    fn a_file_names_its_kind_and_may_leave_out_what_it_does_not_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        std::fs::write(&path, "kind = 'head'\nbyte_rate = '2MB'\n[fast]\nduration = '9s'\n").unwrap();
        let choice = Choice {
            variant: Variant::Fast,
            file: Some(path.clone()),
            ..Choice::default()
        };
        let scenario = Scenario::choose(&choice).unwrap();
        let Experiment::Head(traffic) = &scenario.experiment else {
            panic!()
        };
        assert_eq!((traffic.byte_rate, traffic.duration.as_secs()), (2_000_000, 9));
        std::fs::write(&path, "kind = 'head'\nbytes = 3\n").unwrap();
        assert!(
            Scenario::choose(&choice)
                .unwrap_err()
                .to_string()
                .contains("no key \"bytes\"")
        );
    }
}
