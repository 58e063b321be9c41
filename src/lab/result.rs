//! What an experiment found, as plain data.

use serde::{Deserialize, Serialize};

use super::fit::Line;
use super::machine::Machine;
use super::observe::Sample;
use super::traffic::Done;

/// All of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabResult {
    /// The scenario's name.
    pub scenario: String,
    /// `full`, `fast` or `smoke`.
    pub variant: String,
    /// One line about it.
    pub title: String,
    /// Makes chance repeatable.
    pub seed: u64,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// Whether it was interrupted or failed: what is here was measured, but it is not all.
    pub partial: bool,
    /// Where, and by which build.
    pub machine: Machine,
    /// Every number of the scenario.
    pub config: serde_json::Value,
    /// One for each setting and corner.
    pub runs: Vec<Run>,
    /// Numbers that say something.
    pub facts: Vec<Fact>,
    /// What was to be shown, and whether it was.
    pub claims: Vec<Claim>,
    /// The outcome in a sentence or two.
    pub verdict: String,
    /// The model beside what was measured.
    pub model: Option<Modelled>,
    /// Why this should not be believed as it stands.
    pub warnings: Vec<String>,
}

/// One proxy under one setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The setting: `pin` or `copy`, `queue` or `pipe`.
    pub setting: String,
    /// Which of the corners; none where there is only one.
    pub corner: Option<String>,
    /// The proxy's config.
    pub proxy_config: String,
    /// What was seen.
    pub samples: Vec<Sample>,
    /// Moments of it: seconds and what began.
    pub marks: Vec<(f64, String)>,
    /// What the load did.
    pub load: Done,
    /// Live slab bytes over seconds.
    pub growth: Option<Line>,
    /// Why it is not complete, if so.
    pub cut_short: Option<String>,
}

impl Run {
    /// Its name where there are others.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.corner {
            Some(corner) => format!("{corner}, {}", self.setting),
            None => self.setting.clone(),
        }
    }

    /// The last sample, or one of nothing.
    #[must_use]
    pub fn last(&self) -> Sample {
        self.samples.last().cloned().unwrap_or_default()
    }

    /// The last sample before the mark named `name`.
    #[must_use]
    pub fn before(&self, name: &str) -> Option<&Sample> {
        let at = self.marks.iter().find(|(_, mark)| mark == name)?.0;
        self.samples.iter().rev().find(|sample| sample.seconds <= at)
    }
}

/// A number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is of.
    pub name: String,
    /// The number.
    pub value: f64,
    /// What it counts: `bytes`, `bytes/s`, `s`, or nothing.
    pub unit: String,
}

/// Something that was to be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// What.
    pub claim: String,
    /// Whether it was.
    pub holds: bool,
    /// The numbers.
    pub because: String,
}

/// Model against measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Modelled {
    /// Seconds, pinned slabs as the model expects, and as was measured.
    pub points: Vec<(f64, f64, f64)>,
    /// Their difference at the end, as a part of what was expected.
    pub difference: f64,
    /// Why, where it is more than a tenth.
    pub why: Option<String>,
}

impl LabResult {
    /// Whether all was run and all was shown.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.partial && self.claims.iter().all(|claim| claim.holds)
    }

    /// The run of a setting, where there are no corners.
    #[must_use]
    pub fn run(&self, setting: &str) -> Option<&Run> {
        self.runs
            .iter()
            .find(|run| run.setting == setting && run.corner.is_none())
    }
}

impl Fact {
    /// `name` is `value`.
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value,
            unit: unit.to_owned(),
        }
    }
}
