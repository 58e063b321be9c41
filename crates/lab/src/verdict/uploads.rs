//! `uploads`: growth in one corner of four.

use super::{Findings, LINEAR, Repetition, amplification, grown_slabs, is_flat, told};
use crate::result::Run;
use crate::scenario::Scenario;

pub(super) fn judge(runs: &Repetition<'_>, scenario: &Scenario) -> Findings {
    let mut found = Findings::default();
    let of = |setting: &str| -> Vec<&Run> { runs.0.iter().copied().filter(|run| run.setting == setting).collect() };
    let grows = |run: &Run| grown_slabs(run, scenario) > 2.0;
    let (pin, copy) = (of("pin"), of("copy"));
    let corners = |runs: &[&Run]| -> Vec<String> {
        runs.iter()
            .filter(|run| grows(run))
            .filter_map(|run| run.corner.clone())
            .collect()
    };
    let growing = corners(&pin);
    for run in pin.iter().chain(&copy) {
        let seconds = run.last().seconds;
        let grown = run.growth.map_or(0.0, |line| line.slope * seconds);
        found.fact(format!("{}: growth of live slabs", run.name()), grown, "bytes");
    }
    let tell = |corners: &[String]| {
        if corners.is_empty() {
            "none grows".to_owned()
        } else {
            format!("growing: {}", corners.join(", "))
        }
    };
    found.claim(
        "under pin memory grows in one corner of four, with both",
        growing == ["both"] && pin.len() == 4,
        tell(&growing),
    );
    let both = pin.iter().find(|run| run.corner.as_deref() == Some("both"));
    if let Some(line) = both.and_then(|run| run.growth) {
        found.claim("there it grows linearly", line.r2 >= LINEAR, told(Some(line)));
    }
    found.claim(
        "under copy memory is flat in every corner, within one slab per worker",
        copy.len() == 4 && copy.iter().all(|run| is_flat(run, scenario)),
        tell(&corners(&copy)),
    );
    found.verdict = match both.map(|run| run.last()) {
        Some(last) => format!(
            "Neither tunnels nor uploads alone make memory grow. Together they do: {} Under copy nothing grows.",
            amplification(&last)
        ),
        None => "Not all corners were run.".to_owned(),
    };
    found
}
