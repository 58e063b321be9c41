//! One experiment as the model sees it: derived, simulated and, if it was run, measured, on the same axes.

use anyhow::Context as _;

use super::{Model, Simulated, difference, told_chance};
use crate::plot::{Colour, Curve, Scale, Weight, plot};
use crate::result::LabResult;
use crate::words::{thousands, written};

/// Moments at which the model is evaluated and the simulation counts.
pub const POINTS: usize = 400;
/// Two curves that are further apart than this need a reason.
const TOLERANCE: f64 = 0.10;

/// What is drawn.
#[derive(Debug)]
pub struct Panel {
    /// What it is of.
    pub title: String,
    /// What there is to say of it.
    pub sentences: Vec<String>,
    derived: Vec<(f64, f64)>,
    simulated: Vec<(f64, f64)>,
    /// Of each repetition; the flag is set for the one to look at.
    measured: Vec<(bool, Vec<(f64, f64)>)>,
}

impl Panel {
    /// Of numbers that nobody ran.
    #[must_use]
    pub fn of(model: &Model, simulated: &Simulated) -> Self {
        let derived = simulated
            .points
            .iter()
            .map(|point| (point.0, model.pinned(point.0, 0.0)));
        let derived: Vec<_> = derived.collect();
        Self {
            title: format!(
                "{} tunnels, simulated: {}",
                thousands(simulated.tunnels as f64),
                named(model)
            ),
            sentences: vec![apart(model, 0.0, &derived, &simulated.points)],
            derived,
            simulated: simulated.points.clone(),
            measured: Vec::new(),
        }
    }

    /// Of a result: with the bytes that were carved, and with the arrivals that its seed gave.
    ///
    /// # Errors
    /// If it is not one that the model speaks of.
    pub fn of_result(result: &LabResult) -> anyhow::Result<Self> {
        let modelled = result.model.as_ref().with_context(|| {
            format!(
                "a result of {} has no measured curve of pinned slabs; accepted are results of head with a run under pin",
                result.scenario
            )
        })?;
        let model = &modelled.model;
        let workers = f64::from(modelled.workers);
        let runs = result.runs.iter().filter(|run| run.setting == "pin");
        let measured: Vec<_> = runs
            .map(|run| {
                let points = run.samples.iter().map(|sample| (sample.seconds, sample.tls.pinned));
                (run.repetition == result.middle, points.collect())
            })
            .collect();
        let seed = result.run("pin").map_or(result.seed, |run| run.seed);
        let seconds = modelled.points.last().map_or(0.0, |point| point.0);
        let tunnels = (model.arrival_rate * seconds).round().max(1.0) as u64;
        let mut simulated: Vec<(f64, f64)> = Vec::new();
        for worker in 0..u64::from(modelled.workers) {
            let own = model.simulate(seed + worker, tunnels, POINTS, modelled.filled);
            if simulated.is_empty() {
                simulated = own.points;
            } else {
                simulated
                    .iter_mut()
                    .zip(own.points)
                    .for_each(|(sum, own)| sum.1 += own.1);
            }
        }
        let derived: Vec<_> = simulated
            .iter()
            .map(|point| (point.0, model.pinned(point.0, modelled.filled) * workers))
            .collect();
        let repetitions = if measured.len() > 1 {
            format!(", {} repetitions", measured.len())
        } else {
            String::new()
        };
        let mut sentences = vec![
            told("measurement", modelled.difference, modelled.why.as_deref()),
            apart(model, modelled.filled, &derived, &simulated),
        ];
        sentences.push(format!(
            "Measured by a {} build of {} on {} × {}, seed {seed}.",
            result.machine.build, result.machine.commit, result.machine.cores, result.machine.processor
        ));
        Ok(Self {
            title: format!(
                "lab run {} ({}){repetitions}; {}",
                result.scenario,
                result.variant,
                named(model)
            ),
            sentences,
            derived,
            simulated,
            measured,
        })
    }

    /// Every curve, what is to be seen best last.
    pub(super) fn draw(&self) -> anyhow::Result<String> {
        let thin = self.measured.iter().filter(|(middle, _)| !middle);
        let heavy = self.measured.iter().filter(|(middle, _)| *middle);
        let mut curves = vec![Curve {
            colour: Colour::Simulated,
            weight: if self.measured.is_empty() {
                Weight::Heavy
            } else {
                Weight::Band
            },
            points: self.simulated.clone(),
        }];
        curves.extend(thin.map(|(_, points)| Curve {
            colour: Colour::Bug,
            weight: Weight::Thin,
            points: points.clone(),
        }));
        curves.extend(heavy.map(|(_, points)| Curve::new(Colour::Bug, points.clone())));
        curves.push(Curve::new(Colour::Model, self.derived.clone()));
        plot(&curves, &[], Scale::Count, 0.0)
    }

    /// What each colour is.
    pub(super) fn legend(&self) -> Vec<(Colour, &'static str)> {
        let mut entries = vec![(Colour::Model, "derived"), (Colour::Simulated, "simulated")];
        if !self.measured.is_empty() {
            entries.push((Colour::Bug, "measured"));
        }
        entries
    }
}

fn named(model: &Model) -> String {
    let life = model
        .lifetime
        .map_or_else(|| "never ending".to_owned(), |mean| format!("living {mean:.0} s"));
    format!(
        "{} a second {life}, {}, slabs of {}",
        tunnels(model.arrival_rate),
        written(model.byte_rate, "bytes/s"),
        written(model.slab, "bytes")
    )
}

fn tunnels(rate: f64) -> String {
    format!("{rate} tunnel{}", if rate == 1.0 { "" } else { "s" })
}

/// What there is to say of the simulation.
fn apart(model: &Model, filled: f64, derived: &[(f64, f64)], simulated: &[(f64, f64)]) -> String {
    let values = |points: &[(f64, f64)]| points.iter().map(|point| point.1).collect::<Vec<f64>>();
    let difference = difference(&values(derived), &values(simulated));
    let seconds = simulated.last().map_or(0.0, |point| point.0);
    let why = (difference.abs() > TOLERANCE).then(|| told_chance(model.chance(seconds, filled)));
    told("simulation", difference, why.as_deref())
}

fn told(what: &str, difference: f64, why: Option<&str>) -> String {
    let told = format!(
        "Over the second half the {what} is {} from what was derived.",
        written(difference, "part")
    );
    match why {
        Some(why) if difference.abs() > TOLERANCE => format!("{told} That is more than a tenth: {why}."),
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_tenth_needs_a_reason() {
        let near = told("measurement", 0.05, Some("chance"));
        assert!(near.ends_with("+5.0 % from what was derived."), "{near}");
        assert!(told("measurement", 0.2, Some("too few bytes")).ends_with("a tenth: too few bytes."));
    }
}
