//! What a result means: facts, claims, a sentence, and what there is to doubt.
//!
//! ```text
//!  runs of one repetition ─► its experiment's judge ─► Findings ┐
//!  runs of the next       ─► ...                     ─► Findings ┴─► medians and spreads ─► LabResult
//! ```

mod backpressure;
mod doubt;
mod head;
mod idle;
mod trend;
mod uploads;

pub(super) use idle::{Costs, costs};

use super::fit::Line;
use super::observe::Sample;
use super::result::{Claim, Fact, LabResult, Modelled, Run};
use super::scenario::{Experiment, Scenario};
use super::spread::middle;
use super::units::format_bytes;

/// The part of an asked rate that counts as reaching it.
const REACHED: f64 = 0.9;
/// R² of what counts as a line.
const LINEAR: f64 = 0.98;

/// What one repetition says.
#[derive(Debug, Default)]
struct Findings {
    facts: Vec<Fact>,
    claims: Vec<Claim>,
    verdict: String,
    model: Option<Modelled>,
}

impl Findings {
    fn fact(&mut self, name: impl Into<String>, value: f64, unit: &str) {
        self.facts.push(Fact::new(name, value, unit));
    }

    fn claim(&mut self, claim: impl Into<String>, holds: bool, because: String) {
        self.claims.push(Claim {
            claim: claim.into(),
            holds,
            because,
        });
    }

    /// A fact found before.
    fn value(&self, name: &str) -> Option<f64> {
        self.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value)
    }
}

/// The runs of one repetition.
#[derive(Clone, Debug)]
struct Repetition<'a>(Vec<&'a Run>);

impl Repetition<'_> {
    /// The run of a setting, where there are no corners.
    fn run(&self, setting: &str) -> Option<&Run> {
        self.0.iter().copied().find(|run| run.setting == setting)
    }

    fn is_complete(&self, runs: usize) -> bool {
        self.0.len() == runs && self.0.iter().all(|run| run.cut_short.is_none())
    }
}

/// Fills in facts, claims, verdict and warnings.
pub(super) fn conclude(result: &mut LabResult, scenario: &Scenario) {
    let repetitions = repetitions(&result.runs);
    let (each, numbers): (Vec<Findings>, Vec<u32>) = repetitions
        .iter()
        .map(|repetition| (judge(scenario, repetition), repetition.0[0].repetition))
        .unzip();
    let key = |findings: &Findings| keys(scenario).iter().find_map(|key| findings.value(key));
    let shown = middle(
        &each
            .iter()
            .map(|findings| key(findings).unwrap_or(0.0))
            .collect::<Vec<_>>(),
    );
    let facts = together(&each);
    let claims = agreed(&each, shown);
    let Some(middle) = each.into_iter().nth(shown) else {
        result.verdict = "Nothing was measured.".to_owned();
        return;
    };
    result.middle = numbers[shown];
    result.verdict = middle.verdict;
    result.model = middle.model;
    if numbers.len() > 1 {
        let keys = keys(scenario).iter();
        let known = keys.filter_map(|key| facts.iter().find(|fact| fact.name == *key));
        result.medians = known.cloned().collect();
    }
    (result.facts, result.claims) = (facts, claims);
    doubt::doubt(result);
}

/// The runs by repetition: the complete ones, or, if there is none, what there is of the first.
fn repetitions(runs: &[Run]) -> Vec<Repetition<'_>> {
    let mut all: Vec<Repetition<'_>> = Vec::new();
    for run in runs {
        match all.last_mut().filter(|last| last.0[0].repetition == run.repetition) {
            Some(last) => last.0.push(run),
            None => all.push(Repetition(vec![run])),
        }
    }
    let runs = all.first().map_or(0, |first| first.0.len());
    let first = all.first().cloned();
    all.retain(|repetition| repetition.is_complete(runs));
    if all.is_empty() {
        first.into_iter().collect()
    } else {
        all
    }
}

fn judge(scenario: &Scenario, runs: &Repetition<'_>) -> Findings {
    match &scenario.experiment {
        Experiment::Head(traffic) => head::judge(runs, scenario, traffic),
        Experiment::Uploads(_) => uploads::judge(runs, scenario),
        Experiment::Trend(trend) => trend::judge(runs, trend),
        Experiment::Idle(_) => idle::judge(runs),
        Experiment::Backpressure(slow) => backpressure::judge(runs, slow),
    }
}

/// The facts that a scenario is about; the first of them decides which repetition is the middle one.
fn keys(scenario: &Scenario) -> &'static [&'static str] {
    match &scenario.experiment {
        Experiment::Head(_) => &[
            "pin: pinned bytes",
            "pin: growth of live slabs",
            "pin: R² of that growth",
            "copy: live slabs at most",
        ],
        Experiment::Uploads(_) => &["both, pin: growth of live slabs", "both, copy: growth of live slabs"],
        Experiment::Trend(_) => &[
            "leaking: the usage trend is sure after",
            "leaking: RSS by the clock is sure after",
            "not leaking: the usage trend cries wolf",
            "not leaking: RSS by the clock cries wolf",
        ],
        Experiment::Idle(_) => &[
            "pin, idle: RSS",
            "pin, after the push: RSS",
            "copy, idle: RSS",
            "copy, after the push: RSS",
        ],
        Experiment::Backpressure(_) => &[
            "queue: held while they read, besides slabs",
            "pipe: held while they read, besides slabs",
            "queue: resident afterwards",
        ],
    }
}

/// Every fact once, in the order of the first repetition that has it.
fn together(each: &[Findings]) -> Vec<Fact> {
    if let [only] = each {
        return only.facts.clone();
    }
    let same = |a: &Fact, b: &Fact| a.name == b.name && a.unit == b.unit;
    let mut known: Vec<&Fact> = Vec::new();
    for fact in each.iter().flat_map(|findings| &findings.facts) {
        if !known.iter().any(|known| same(known, fact)) {
            known.push(fact);
        }
    }
    let all = |fact: &&Fact| {
        let facts = each.iter().flat_map(|findings| &findings.facts);
        let facts: Vec<Fact> = facts.filter(|other| same(fact, other)).cloned().collect();
        Fact::together(&facts)
    };
    known.iter().filter_map(all).collect()
}

/// A claim holds if it holds in every repetition. The numbers are the middle one's, or those of one where it fails.
fn agreed(each: &[Findings], shown: usize) -> Vec<Claim> {
    let Some(middle) = each.get(shown) else {
        return Vec::new();
    };
    let agree = |claim: &Claim| {
        let same = |findings: &'_ Findings| findings.claims.iter().find(|other| other.claim == claim.claim).cloned();
        let all: Vec<Claim> = each.iter().filter_map(same).collect();
        let good = all.iter().filter(|claim| claim.holds).count();
        let worst = if claim.holds {
            all.iter().find(|claim| !claim.holds)
        } else {
            None
        };
        let mut claim = worst.unwrap_or(claim).clone();
        if each.len() > 1 {
            claim.because = format!("in {good} of {} repetitions; {}", each.len(), claim.because);
            claim.holds = good == each.len();
        }
        claim
    };
    middle.claims.iter().map(agree).collect()
}

/// By how many tls slabs the live slabs grew along the fitted line.
fn grown_slabs(run: &Run, scenario: &Scenario) -> f64 {
    let seconds = run.last().seconds;
    run.growth.map_or(0.0, |line| line.slope * seconds) / scenario.common.tls_slab as f64
}

/// Whether it stayed within one slab of each class per worker, at every sample.
fn is_flat(run: &Run, scenario: &Scenario) -> bool {
    let workers = scenario.common.workers as f64;
    let within = |live: f64| live <= workers;
    run.samples
        .iter()
        .all(|sample| within(sample.tls.live) && within(sample.tcp.live))
}

fn most(run: &Run, of: impl Fn(&Sample) -> f64) -> f64 {
    run.samples.iter().map(of).fold(0.0, f64::max)
}

/// A line's numbers.
fn told(line: Option<Line>) -> String {
    line.map_or_else(
        || "too few samples".to_owned(),
        |line| format!("{} a second, R² {:.4}", format_bytes(line.slope), line.r2),
    )
}

/// `412 bytes of 103 heads keep 110 MB alive.`
fn amplification(last: &Sample) -> String {
    format!(
        "{} bytes of {} heads keep {:.0} MB alive.",
        super::words::thousands(last.head_bytes()),
        super::words::thousands(last.heads()),
        last.pinned_bytes() / 1e6
    )
}
