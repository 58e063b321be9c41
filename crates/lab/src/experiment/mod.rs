//! Runs scenarios: each setting on a stage of its own, warm-up first, one after the other.
//!
//! ```text
//!   for each repetition, for each setting:
//!                      stage (proxy, origin: child processes) ─► warm-up ─► load ┬ in the background
//!                                                                observer ───────┴─► samples ─► Run
//! ```

mod files;
mod idle;
mod slow;
mod traffic;

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use headpin::observe::labels::{HeadPolicy, RelayPolicy};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::children::{Stage, Toggles};
use super::fit::Line;
use super::machine::Machine;
use super::observe::Observer;
use super::random::Random;
use super::result::{LabResult, Run};
use super::scenario::{Experiment, Scenario};
use super::verdict;

/// The settings of the head policy, the bug first.
const HEAD_POLICIES: [HeadPolicy; 2] = [HeadPolicy::Pin, HeadPolicy::Copy];

/// What a scenario runs with.
pub(super) struct Lab<'a> {
    pub(super) scenario: &'a Scenario,
    /// Of this repetition.
    pub(super) seed: u64,
    /// Cancelled, the run ends early; what was measured is kept.
    pub(super) stop: &'a CancellationToken,
    /// Tells what goes on.
    pub(super) say: &'a dyn Fn(&str),
}

/// Runs `scenario` under every setting, and all of them `repetitions` times, interleaved: what drifts on the machine meets
/// each setting alike. `say` is told what goes on. Cancelling `stop` ends it early: what was measured
/// is kept, and marked as partial.
///
/// # Errors
/// If not even the first run can begin, nothing was measured before it was stopped, or too few files may be open for all.
///
/// # Cancel safety
/// Dropped, every process is ended and the result is lost; cancel `stop` instead.
pub async fn run(
    scenario: &Scenario,
    repetitions: NonZeroU32,
    stop: &CancellationToken,
    say: &dyn Fn(&str),
) -> anyhow::Result<LabResult> {
    files::suffice(scenario)?;
    let mut result = LabResult {
        scenario: scenario.name.clone(),
        variant: scenario.variant.name().to_owned(),
        title: scenario.common.title.clone(),
        seed: scenario.common.seed,
        started: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
        partial: false,
        machine: Machine::this(),
        config: serde_json::to_value(&scenario.table)?,
        repetitions: repetitions.get(),
        middle: 1,
        runs: Vec::new(),
        facts: Vec::new(),
        claims: Vec::new(),
        verdict: String::new(),
        medians: Vec::new(),
        model: None,
        warnings: Vec::new(),
    };
    let mut ran = Ok(());
    for repetition in 1..=repetitions.get() {
        if repetition > 1 {
            say(&format!("repetition {repetition} of {repetitions}"));
        }
        let lab = Lab {
            scenario,
            seed: seed_of(scenario.common.seed, repetition),
            stop,
            say,
        };
        let first = result.runs.len();
        ran = lab.run(&mut result.runs).await;
        for run in &mut result.runs[first..] {
            (run.repetition, run.seed) = (repetition, lab.seed);
        }
        if ran.is_err() || stop.is_cancelled() {
            break;
        }
    }
    if let Err(error) = ran {
        if result.runs.iter().all(|run| run.samples.is_empty()) {
            return Err(error);
        }
        result.partial = true;
        result.warnings.push(format!("the experiment ended early: {error:#}"));
    }
    if stop.is_cancelled() {
        ensure!(
            result.runs.iter().any(|run| !run.samples.is_empty()),
            "stopped before anything was measured; there is no result"
        );
        result.partial = true;
    }
    let mut cut = Vec::new();
    for run in &mut result.runs {
        let points: Vec<_> = run
            .samples
            .iter()
            .map(|sample| (sample.seconds, sample.live_bytes()))
            .collect();
        run.growth = Line::through(&points);
        if let Some(why) = &run.cut_short {
            result.partial = true;
            cut.push(format!("{} was cut short: {why}", run.name()));
        }
    }
    result.warnings.append(&mut cut);
    verdict::conclude(&mut result, scenario);
    Ok(result)
}

/// The first repetition has the scenario's own seed, so that one run is the first of several.
fn seed_of(seed: u64, repetition: u32) -> u64 {
    let mut random = Random::new(seed);
    // 32 bits of it: a seed is to be typed.
    (1..repetition).map(|_| random.bits() >> 32).last().unwrap_or(seed)
}

impl Lab<'_> {
    /// Every setting once.
    async fn run(&self, runs: &mut Vec<Run>) -> anyhow::Result<()> {
        match &self.scenario.experiment {
            Experiment::Head(traffic) => traffic::head(self, traffic, runs).await,
            Experiment::Uploads(traffic) => traffic::uploads(self, traffic, runs).await,
            Experiment::Trend(trend) => traffic::trend(self, trend, runs).await,
            Experiment::Idle(idle) => idle::idle(self, idle, runs).await,
            Experiment::Backpressure(slow) => slow::backpressure(self, slow, runs).await,
        }
    }

    async fn stage(&self, head_policy: HeadPolicy) -> anyhow::Result<Stage> {
        let toggles = Toggles {
            head_policy,
            relay_policy: RelayPolicy::Pipe,
        };
        Stage::start(&self.scenario.common, toggles).await
    }

    /// Waits, unless it is stopped.
    async fn rest(&self, duration: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(duration)).await;
    }

    /// Notes that `what` begins now.
    async fn mark(&self, run: &mut Run, observer: &Observer, what: &str) {
        if let Ok(sample) = observer.sample().await {
            run.marks.push((sample.seconds, what.to_owned()));
            run.samples.push(sample);
        }
    }

    /// Looks at the proxy every tick for `duration`. What goes wrong ends it and is noted.
    async fn watch(&self, stage: &mut Stage, observer: &Observer, duration: Duration, run: &mut Run) {
        let end = Instant::now() + duration;
        let tick = self.scenario.common.tick;
        let mut ticks = interval_at(Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while run.cut_short.is_none() {
            if self.stop.is_cancelled() {
                run.cut_short = Some("it was interrupted".to_owned());
                break;
            }
            // A proxy without its origin answers as well.
            let sample = match (observer.sample().await, stage.failed()) {
                (_, Some(error)) | (Err(error), None) => Err(error),
                (Ok(sample), None) => Ok(sample),
            };
            match sample {
                Ok(sample) => run.samples.push(sample),
                Err(error) => run.cut_short = Some(format!("{error:#}")),
            }
            if Instant::now() >= end {
                break;
            }
            self.stop.run_until_cancelled(ticks.tick()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repetition_has_its_own_seed_and_always_the_same() {
        let seeds = |seed| [1, 2, 3].map(|repetition| seed_of(seed, repetition));
        assert_eq!(seeds(7), seeds(7));
        let [first, second, third] = seeds(7);
        assert_eq!(first, 7);
        assert!(second != third && second != first && seeds(8)[1] != second);
    }
}
