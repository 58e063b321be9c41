//! What an experiment found, as plain data.

use serde::{Deserialize, Serialize};

use super::fit::Line;
use super::machine::Machine;
use super::model::Model;
use super::observe::Sample;
use super::spread::Spread;
use super::traffic::Done;

/// The unit of what a tunnel costs, in the facts of `idle`.
pub(super) const PER_TUNNEL: &str = "bytes per tunnel";
/// When `idle` weighs a tunnel: with all open and quiet, and quiet again after the push.
pub(super) const PHASES: [&str; 2] = ["idle", "after the push"];

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
    /// How often every setting was to be run.
    #[serde(default = "once")]
    pub repetitions: u32,
    /// The repetition whose key figure is nearest to the median: the one that verdict and model are of. From 1.
    #[serde(default = "once")]
    pub middle: u32,
    /// One for each setting and corner of each repetition.
    pub runs: Vec<Run>,
    /// Numbers that say something: the medians of the repetitions.
    pub facts: Vec<Fact>,
    /// What was to be shown, and whether it was.
    pub claims: Vec<Claim>,
    /// The outcome in a sentence or two.
    pub verdict: String,
    /// What the scenario is about, over all repetitions; empty if there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub medians: Vec<Fact>,
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
    /// Which repetition, from 1.
    #[serde(default = "once")]
    pub repetition: u32,
    /// Of this repetition; the first has the scenario's.
    #[serde(default)]
    pub seed: u64,
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
    /// Numbers that the experiment read besides the samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// Why it is not complete, if so.
    pub cut_short: Option<String>,
}

impl Run {
    /// Its name where there are others; repetitions share it.
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
    /// The number; of several repetitions, their median.
    pub value: f64,
    /// What it counts: `bytes`, `bytes/s`, `s`, or nothing.
    pub unit: String,
    /// Of each repetition that has it, if there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<f64>,
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
    /// What the model was given, for one worker.
    pub model: Model,
    /// Workers that the load was spread over.
    pub workers: u32,
    /// The part of the slab in use that was carved before the first tunnel could arrive.
    pub filled: f64,
    /// Seconds, pinned slabs as the model expects, and as was measured.
    pub points: Vec<(f64, f64, f64)>,
    /// Their difference over the second half, as a part of what was expected.
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

    /// The run of a setting, where there are no corners: of several the middle one.
    #[must_use]
    pub fn run(&self, setting: &str) -> Option<&Run> {
        let mut runs = self
            .runs
            .iter()
            .filter(|run| run.setting == setting && run.corner.is_none());
        let first = runs.clone().next();
        runs.find(|run| run.repetition == self.middle).or(first)
    }

    /// The name of a run, and its repetition if there are several.
    #[must_use]
    pub fn name_of(&self, run: &Run) -> String {
        if self.repetitions > 1 {
            format!("{}, repetition {}", run.name(), run.repetition)
        } else {
            run.name()
        }
    }

    /// A number of every run: for each setting and corner, in their order, all repetitions together.
    #[must_use]
    pub fn of_runs(&self, unit: &str, of: impl Fn(&Run) -> f64) -> Vec<Fact> {
        let mut names: Vec<String> = Vec::new();
        for run in &self.runs {
            if !names.contains(&run.name()) {
                names.push(run.name());
            }
        }
        let fact = |name: &String| {
            let facts: Vec<Fact> = self
                .runs
                .iter()
                .filter(|run| run.name() == *name && (run.cut_short.is_none() || self.repetitions == 1))
                .map(|run| Fact::new(name, of(run), unit))
                .collect();
            Fact::together(&facts).unwrap_or_else(|| Fact::new(name, 0.0, unit))
        };
        names.iter().map(fact).collect()
    }
}

impl Fact {
    /// `name` is `value`.
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value,
            unit: unit.to_owned(),
            each: Vec::new(),
        }
    }

    /// The median of `facts`, which are the same number of several repetitions; `None` of none.
    #[must_use]
    pub fn together(facts: &[Self]) -> Option<Self> {
        let first = facts.first()?;
        let each: Vec<f64> = facts.iter().map(|fact| fact.value).collect();
        Some(Self {
            value: Spread::of(&each)?.median,
            each,
            ..first.clone()
        })
    }

    /// How far the repetitions lie apart; without any, the number alone.
    #[must_use]
    pub fn spread(&self) -> Spread {
        Spread::of(&self.each).unwrap_or(Spread {
            median: self.value,
            least: self.value,
            most: self.value,
        })
    }
}

fn once() -> u32 {
    1
}
