//! `trend`: when a detector is sure, and how often it cries wolf.

use headpin::observe::memory;

use super::{Findings, Repetition};
use crate::scenario::Trend;

pub(super) fn judge(runs: &Repetition<'_>, trend: &Trend) -> Findings {
    let mut found = Findings::default();
    let mut words = Vec::new();
    let mut told = Vec::new();
    for (setting, leaks) in [("pin", true), ("copy", false)] {
        let Some(run) = runs.run(setting) else {
            continue;
        };
        let clock = memory::Trend::default();
        let by_clock = run.samples.iter().map(|sample| {
            clock.add(sample.rss_bytes);
            (sample.seconds, clock.report().ratio)
        });
        let by_clock = detect(trend, by_clock);
        // The proxy's own: it has a new value at each turnover.
        let mut turnovers = run.samples.first().map_or(0.0, |sample| sample.turnovers);
        let by_turnover = run.samples.iter().flat_map(|sample| {
            let new = (sample.turnovers - turnovers).max(0.0) as usize;
            turnovers = sample.turnovers;
            std::iter::repeat_n((sample.seconds, sample.trend), new)
        });
        let by_turnover = detect(trend, by_turnover);
        for (name, detected) in [("RSS by the clock", &by_clock), ("the usage trend", &by_turnover)] {
            if leaks {
                if let Some((seconds, samples)) = detected.sure {
                    let fact = format!("leaking: {name} is sure after");
                    found.fact(&fact, seconds, "s");
                    found.fact(&fact, samples as f64, "samples");
                    words.push(format!(
                        "{name} is sure of the leak after {seconds:.1} s and {samples} samples"
                    ));
                } else {
                    words.push(format!("{name} never is sure of the leak"));
                }
            } else {
                found.fact(
                    format!("not leaking: {name} cries wolf"),
                    detected.alarms as f64,
                    "times",
                );
                let times = match detected.alarms {
                    0 => "never cries wolf".to_owned(),
                    1 => "cries wolf once".to_owned(),
                    alarms => format!("cries wolf {alarms} times"),
                };
                words.push(format!("{name} {times} without one"));
            }
            told.push((leaks, name, detected.sure.is_some()));
        }
    }
    found.claim(
        "the usage trend finds the leak",
        told.contains(&(true, "the usage trend", true)),
        words
            .iter()
            .filter(|word| word.contains("trend"))
            .cloned()
            .collect::<Vec<_>>()
            .join("; "),
    );
    found.verdict = words.join("; ");
    if let Some(first) = found.verdict.get(..1).map(str::to_uppercase) {
        found.verdict.replace_range(..1, &first);
        found.verdict.push('.');
    }
    found
}

/// What a detector did with a run.
struct Detected {
    /// When it was sure, and after how many samples.
    sure: Option<(f64, usize)>,
    /// How often it became sure anew.
    alarms: usize,
}

/// Sure when `confirm` samples in a row are above `threshold`; calm again when one is not.
fn detect(trend: &Trend, samples: impl Iterator<Item = (f64, f64)>) -> Detected {
    let mut detected = Detected { sure: None, alarms: 0 };
    let mut row = 0;
    for (number, (seconds, ratio)) in samples.enumerate() {
        row = if ratio > trend.bursts.threshold { row + 1 } else { 0 };
        if row == trend.bursts.confirm {
            detected.alarms += 1;
            detected.sure.get_or_insert((seconds, number + 1));
        }
    }
    detected
}
