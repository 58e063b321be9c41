//! When a report should not be believed as it stands.

use super::plan::Work;
use super::report::{Generator, Rate, Report};
use super::warning::{Limit, Warning};

/// A thread that is busier than this has no time to spare for the target.
const BUSY: f64 = 0.9;
/// A thread that waits for a core longer than this does so at the target's expense or its own.
const STARVED: f64 = 0.1;
/// The part of an asked rate that counts as reaching it.
const REACHED: f64 = 0.95;
/// In a shorter time than this many seconds, being busy means nothing.
const SHORTEST: f64 = 0.1;
/// Fewer units say little about a percentile.
const FEW_UNITS: u64 = 100;
/// CPU times come in hundredths of a second: below this many seconds of them they are mostly rounding.
const LITTLE_CPU: f64 = 0.5;

impl Report {
    /// Adds what there is to doubt.
    pub(super) fn doubt(&mut self) {
        let Generator {
            busy_ratio,
            starved_ratio,
            ..
        } = self.generator;
        if cfg!(debug_assertions) {
            self.warnings.push(Warning::DebugBuild);
        }
        let long_enough = self.seconds >= SHORTEST;
        if busy_ratio > BUSY && long_enough {
            self.warnings.push(Warning::GeneratorBusy { busy_ratio });
        }
        if starved_ratio > STARVED && long_enough {
            self.warnings.push(Warning::GeneratorStarved { starved_ratio });
        }
        if let Rate {
            asked: Some(asked),
            reached: Some(reached),
        } = self.rate
            && reached < asked * REACHED
        {
            let limit = match () {
                () if busy_ratio > BUSY => Limit::Generator,
                () if starved_ratio > STARVED => Limit::Machine,
                () => Limit::Target,
            };
            self.warnings.push(Warning::RateNotReached { asked, reached, limit });
        }
        if matches!(self.work, Work::Echo { .. } | Work::Churn { .. }) && self.units < FEW_UNITS {
            self.warnings.push(Warning::FewUnits { units: self.units });
        }
        let Some(process) = &self.process else { return };
        let seconds = process.cpu_of_units(&self.work);
        if process.cpu_us_per_unit.is_some() && seconds < LITTLE_CPU {
            self.warnings.push(Warning::LittleCpu { seconds });
        }
        if process.end.pss_bytes.is_none() {
            self.warnings.push(Warning::NoPss);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{echo, report};
    use super::*;

    /// What a report says after `change`, besides that this is a debug build.
    fn doubts(change: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = report(echo());
        change(&mut report);
        report.doubt();
        report.warnings.retain(|warning| *warning != Warning::DebugBuild);
        report.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_run_leaves_no_doubt() {
        assert_eq!(doubts(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn whoever_was_the_limit_is_named() {
        let slow = Rate {
            asked: Some(500.0),
            reached: Some(100.0),
        };
        for (busy, starved, says) in [
            (0.97, 0.0, "the generator is the limit"),
            (0.6, 0.3, "no core to spare"),
            (0.3, 0.0, "the target takes no more"),
        ] {
            let doubts = doubts(|report| {
                (report.generator.busy_ratio, report.generator.starved_ratio) = (busy, starved);
                report.rate = slow;
            });
            let last = doubts.last().unwrap();
            assert!(last.contains("100 reached") && last.contains(says), "{doubts:?}");
        }
        let doubts = doubts(|report| report.generator.busy_ratio = 0.97);
        assert!(
            doubts[0].contains("the generator was the limit, not the target"),
            "{doubts:?}"
        );
    }

    #[test]
    fn too_little_to_measure_is_said() {
        assert!(doubts(|report| report.units = 99)[0].contains("too few for percentiles"));
        let little = doubts(|report| report.process.as_mut().unwrap().end.user_seconds = 2.1);
        assert!(little[0].contains("mostly rounding"), "{little:?}");
        let hidden = doubts(|report| report.process.as_mut().unwrap().end.pss_bytes = None);
        assert!(hidden[0].contains("PSS cannot be read"), "{hidden:?}");
    }
}
