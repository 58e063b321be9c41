//! Why a result should not be believed as it stands.

use super::REACHED;
use crate::result::{LabResult, Run};
use crate::units::format_bytes;

/// Below this many samples a line says little.
const FEW_SAMPLES: usize = 20;
/// What begins later than this part of the duration was held up.
const LATE: f64 = 0.05;
/// A thread that is busier than this has no time to spare.
const BUSY: f64 = 0.9;

pub(super) fn doubt(result: &mut LabResult) {
    let mut warnings = Vec::new();
    if result.machine.build == "debug" {
        warnings
            .push("this is a debug build: memory holds, CPU and rates do not; use `cargo build --release`".to_owned());
    }
    for run in &result.runs {
        let name = result.name_of(run);
        warnings.extend(doubts(run).into_iter().map(|doubt| format!("{name}: {doubt}")));
    }
    result.warnings.extend(warnings);
}

/// What there is to doubt of one run.
fn doubts(run: &Run) -> Vec<String> {
    let mut doubts = Vec::new();
    let load = &run.load;
    if run.samples.len() < FEW_SAMPLES {
        doubts.push(format!(
            "{} samples are few; allow a longer duration or a shorter tick",
            run.samples.len()
        ));
    }
    if load.byte_rate < load.byte_rate_asked * REACHED {
        doubts.push(format!(
            "{} a second were asked for and {} reached: the generator or the machine was the limit; lower byte_rate",
            format_bytes(load.byte_rate_asked),
            format_bytes(load.byte_rate)
        ));
    }
    if load.tunnel_rate < load.tunnel_rate_asked * REACHED {
        doubts.push(format!(
            "{:.1} tunnels a second were due and {:.1} opened: the generator or the machine was the limit; lower \
             tunnel_rate",
            load.tunnel_rate_asked, load.tunnel_rate
        ));
    }
    let seconds = run.last().seconds;
    if load.late_seconds > seconds * LATE {
        doubts.push(format!(
            "an upload or a tunnel began {:.1} s late; the machine has other things to do",
            load.late_seconds
        ));
    }
    let busy = generator_busy(run);
    if busy > BUSY {
        doubts.push(format!(
            "the generator was the limit: its thread was busy {:.0} % of the time; lower byte_rate or tunnel_rate",
            busy * 100.0
        ));
    }
    if let Some(first) = &load.first_fault {
        doubts.push(format!("{} faults, the first: {first}", load.faults));
    }
    doubts.extend(load.warnings.iter().cloned());
    doubts
}

/// The part of one core that the generator took while it was looked at.
fn generator_busy(run: &Run) -> f64 {
    let (Some(first), Some(last)) = (run.samples.first(), run.samples.last()) else {
        return 0.0;
    };
    let seconds = last.seconds - first.seconds;
    if seconds > 0.0 {
        (last.generator_cpu_seconds - first.generator_cpu_seconds) / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Sample;

    /// A sound run of ten seconds, changed.
    fn doubts_of(change: impl FnOnce(&mut Run)) -> Vec<String> {
        let sample = |at: u32| Sample {
            seconds: f64::from(at) / 10.0,
            generator_cpu_seconds: f64::from(at) / 20.0,
            ..Sample::default()
        };
        let mut run = Run {
            samples: (0..=100).map(sample).collect(),
            ..Run::default()
        };
        (run.load.byte_rate_asked, run.load.byte_rate) = (1e6, 0.95e6);
        (run.load.tunnel_rate_asked, run.load.tunnel_rate) = (20.0, 19.0);
        run.load.late_seconds = 0.05;
        change(&mut run);
        doubts(&run)
    }

    #[test]
    fn a_sound_run_leaves_no_doubt() {
        assert_eq!(doubts_of(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn every_reason_is_told() {
        type Change = fn(&mut Run);
        let changes: [(Change, &str); 7] = [
            (|run| run.samples.truncate(19), "19 samples are few"),
            (|run| run.load.byte_rate = 0.89e6, "lower byte_rate"),
            (
                |run| run.load.tunnel_rate = 17.9,
                "20.0 tunnels a second were due and 17.9 opened",
            ),
            (|run| run.load.late_seconds = 0.6, "began 0.6 s late"),
            (
                |run| {
                    run.samples
                        .iter_mut()
                        .for_each(|sample| sample.generator_cpu_seconds = sample.seconds * 0.95)
                },
                "busy 95 % of the time",
            ),
            (
                |run| run.load.first_fault = Some("refused".to_owned()),
                "the first: refused",
            ),
            (
                |run| run.load.warnings.push("the generator waited".to_owned()),
                "the generator waited",
            ),
        ];
        for (change, says) in changes {
            let doubts = doubts_of(change);
            assert!(doubts.len() == 1 && doubts[0].contains(says), "{says}: {doubts:?}");
        }
    }
}
