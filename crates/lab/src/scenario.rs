//! Scenarios: an experiment as plain data.
//!
//! ```text
//!  embedded TOML ─► + [fast] or [smoke] ─► + --scenario FILE ─► + --set key=value ─► Scenario
//!
//! declared and read as the proxy's config is: numbers.rs
//! ```

mod layers;
mod numbers;

use std::path::PathBuf;

use headpin_settings::{NamedFiles, Presence, Section, Settings as _, SettingsError, Sources, kind};
use toml::Table;

use self::layers::{Text, meant, read};
pub use self::numbers::{Backpressure, Bursts, Common, Experiment, Idle, Traffic, Trend};

/// What every scenario's file is called, and the file.
const EMBEDDED: [(&str, &str); 5] = [
    ("head", include_str!("../scenarios/head.toml")),
    ("uploads", include_str!("../scenarios/uploads.toml")),
    ("idle", include_str!("../scenarios/idle.toml")),
    ("backpressure", include_str!("../scenarios/backpressure.toml")),
    ("trend", include_str!("../scenarios/trend.toml")),
];

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
    /// A file or an option is not TOML.
    #[error(transparent)]
    Syntax(SettingsError),
    /// Keys that the scenario does not have, and values that its keys do not take: all of them.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
}

impl From<SettingsError> for ScenarioError {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Faults { faults } => Self::Faults(faults.iter().map(ToString::to_string).collect()),
            other => Self::Syntax(other),
        }
    }
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
        let file = match &choice.file {
            Some(path) => Some((path.display().to_string(), read(path)?)),
            None => None,
        };
        let file = file.map(|(origin, text)| Text::file(&origin, &text));
        let name = match (&choice.name, &file) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(file)) => kind_of(file)?,
            (None, None) => None,
        };
        let Some(name) = name else {
            return Err(ScenarioError::Faults(vec![format!(
                "name a scenario, or give a file with its kind; accepted: {}",
                names().join(", ")
            )]));
        };
        let Some((known, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) else {
            return Err(ScenarioError::Unknown { name });
        };
        let mut texts = vec![Text::file(known, text)];
        texts.extend(file);
        let (sets, refused): (Vec<_>, Vec<_>) = choice.sets.iter().map(|set| layers::set(set)).partition(Result::is_ok);
        texts.extend(sets.into_iter().flatten());
        let mut faults: Vec<String> = refused.into_iter().filter_map(Result::err).collect();
        match Self::from_texts(known, choice.variant, &texts) {
            Ok(scenario) if faults.is_empty() => Ok(scenario),
            Ok(_) => Err(ScenarioError::Faults(faults)),
            Err(ScenarioError::Faults(found)) => {
                faults.extend(found);
                Err(ScenarioError::Faults(faults))
            }
            Err(other) => Err(other),
        }
    }

    fn from_texts(name: &'static str, variant: Variant, texts: &[Text]) -> Result<Self, ScenarioError> {
        let layers = texts.iter().map(|text| text.layer(variant)).collect();
        let read = headpin_settings::read(layers, NamedFiles::NotLookedAt, |mut section, sources| {
            let kind = kind::text(name);
            let kind = section.key("kind", &kind, name.to_owned(), Presence::Default);
            if kind != name {
                sources.refuse_together(&["kind"], format!("accepted is {name:?} here"));
            }
            let common = Common::read_keys(&mut section);
            let experiment = Experiment::read(name, &mut section)?;
            section.finish();
            experiment.check(&common, sources);
            Some((common, experiment))
        })?;
        let Some((common, experiment)) = read else {
            return Err(ScenarioError::Unknown { name: name.to_owned() });
        };
        Ok(Self {
            name: name.to_owned(),
            variant,
            common,
            experiment,
            table: texts.iter().flat_map(|text| text.table(variant)).collect(),
        })
    }
}

/// The `kind` that a file names, if it does.
fn kind_of(file: &Text) -> Result<Option<String>, ScenarioError> {
    let layers = vec![file.layer(Variant::Full)];
    let kind = headpin_settings::read(layers, NamedFiles::NotLookedAt, |mut section, _| {
        let kind = kind::optional(kind::text("head"));
        section.key("kind", &kind, None, Presence::LeftOut("head"))
    })?;
    Ok(kind)
}

impl Experiment {
    /// That of the embedded scenario `name`, if there is one for it.
    fn read(name: &str, section: &mut Section<'_>) -> Option<Self> {
        Some(match name {
            "head" => Self::Head(Traffic::read_keys(section)),
            "uploads" => Self::Uploads(Traffic::read_keys(section)),
            "idle" => Self::Idle(Idle::read_keys(section)),
            "backpressure" => Self::Backpressure(Backpressure::read_keys(section)),
            "trend" => Self::Trend(Trend {
                traffic: Traffic::read_keys(section),
                bursts: Bursts::read_keys(section),
            }),
            _ => return None,
        })
    }

    /// What shows only when several numbers are known.
    fn check(&self, common: &Common, sources: &Sources<'_>) {
        if let Self::Head(traffic) | Self::Uploads(traffic) | Self::Trend(Trend { traffic, .. }) = self
            && traffic.duration < common.tick * 10
        {
            sources.refuse_together(
                &["duration", "tick"],
                "accepted is a duration of ten times the tick or more".to_owned(),
            );
        }
        if let Self::Trend(Trend { bursts, .. }) = self
            && bursts.burst_lasts >= bursts.burst_every
        {
            sources.refuse_together(
                &["burst_lasts", "burst_every"],
                "accepted is a burst_lasts shorter than burst_every".to_owned(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            ("head", "byterate=1", "did you mean \"byte_rate\"?"),
            ("head", "tunnels=1", "known keys here: "),
            ("head", "byte_rate=fast", "accepted is a size from 1B"),
            (
                "head",
                "duration=10",
                "--set duration=10: duration = 10: accepted is a duration from",
            ),
            ("head", "workers=0", "accepted is a whole number from 1 to 64"),
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
                .contains("own.toml:2: bytes = 3: unknown key")
        );
    }

    #[test]
    fn a_file_alone_that_cannot_be_read_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.toml");
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let choice = Choice {
                file: Some(path.clone()),
                ..Choice::default()
            };
            Scenario::choose(&choice).unwrap_err().to_string()
        };
        for (text, says) in [
            ("kind = 'head'\nduration = 5s\n", "own.toml:2: "),
            ("kind = 'head'\nduration = 5s\n", "accepted is TOML: key = value"),
            ("kind = 5\n", "own.toml:1: kind = 5: accepted is text"),
            (
                "kind = 'heads'\n",
                "there is no scenario \"heads\" (did you mean head?)",
            ),
            ("duration = '5s'\n", "name a scenario, or give a file with its kind"),
        ] {
            assert!(told(text).contains(says), "{text}: {}", told(text));
        }
    }

    #[test]
    fn a_scenario_without_an_experiment_is_unknown() {
        let text = EMBEDDED[4].1.replace("kind = \"trend\"", "kind = \"drift\"");
        let read = Scenario::from_texts("drift", Variant::Full, &[Text::file("drift", &text)]);
        assert!(matches!(read, Err(ScenarioError::Unknown { name }) if name == "drift"));
    }

    #[test]
    fn numbers_that_do_not_go_together_are_told_once_and_where_they_were_set() {
        let together = "accepted is a duration of ten times the tick or more";
        let told = |set: &str| chosen("head", Variant::Full, &[set]).unwrap_err();
        assert_eq!(told("tick=60s"), format!("--set tick=60s: tick = \"60s\": {together}"));
        assert_eq!(
            told("duration=1s"),
            format!("--set duration=1s: duration = \"1s\": {together}")
        );
        assert!(!told("duration=10").contains(together));
    }
}
