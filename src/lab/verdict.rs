//! What a result means: facts, claims, a sentence, and what there is to doubt.

use super::fit::Line;
use super::model::Model;
use super::result::{Claim, Fact, LabResult, Modelled, Run};
use super::scenario::{Backpressure, Experiment, Scenario, Traffic, Trend};
use super::units::format_bytes;

/// Below this many samples a line says little.
const FEW_SAMPLES: usize = 20;
/// The part of the asked rate that counts as reaching it.
const REACHED: f64 = 0.95;
/// R² of what counts as a line.
const LINEAR: f64 = 0.98;
/// How far model and measurement may be apart.
const TOLERANCE: f64 = 0.10;
/// An upload that begins later than this part of the duration was held up.
const LATE: f64 = 0.05;

/// The longest read, `tunnel.relay_buffer`: of the end of a slab, half a read's length is lost on average.
const READ_MAX: u64 = 64 << 10;

/// Fills in facts, claims, verdict and warnings.
pub(super) fn conclude(result: &mut LabResult, scenario: &Scenario) {
    match &scenario.experiment {
        Experiment::Head(traffic) => head(result, scenario, traffic),
        Experiment::Uploads(_) => uploads(result, scenario),
        Experiment::Trend(trend) => trend_detectors(result, trend),
        Experiment::Idle(_) => idle(result),
        Experiment::Backpressure(slow) => backpressure(result, slow),
    }
    doubt(result);
}

fn doubt(result: &mut LabResult) {
    let mut warnings = Vec::new();
    if result.machine.build == "debug" {
        warnings
            .push("this is a debug build: memory holds, CPU and rates do not; use `cargo build --release`".to_owned());
    }
    for run in &result.runs {
        let (name, load) = (run.name(), &run.load);
        if run.samples.len() < FEW_SAMPLES {
            warnings.push(format!(
                "{name}: {} samples are few; allow a longer duration or a shorter tick",
                run.samples.len()
            ));
        }
        if load.byte_rate < load.byte_rate_asked * REACHED {
            warnings.push(format!(
                "{name}: {} a second were asked for and {} reached: the generator or the machine was the limit; lower \
                 byte_rate",
                format_bytes(load.byte_rate_asked),
                format_bytes(load.byte_rate)
            ));
        }
        let seconds = run.last().seconds;
        if load.late_seconds > seconds * LATE {
            warnings.push(format!(
                "{name}: an upload began {:.1} s late; the machine has other things to do",
                load.late_seconds
            ));
        }
        if let Some(first) = &load.first_fault {
            warnings.push(format!("{name}: {} faults, the first: {first}", load.faults));
        }
    }
    result.warnings.extend(warnings);
}

fn claim(result: &mut LabResult, claim: impl Into<String>, holds: bool, because: String) {
    result.claims.push(Claim {
        claim: claim.into(),
        holds,
        because,
    });
}

/// Bytes of one live slab of each class for each worker: what there always is.
fn floor_bytes(scenario: &Scenario) -> f64 {
    (scenario.common.tls_slab + scenario.common.tcp_slab) as f64 * scenario.common.workers as f64
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

fn most(run: &Run, of: impl Fn(&super::observe::Sample) -> f64) -> f64 {
    run.samples.iter().map(of).fold(0.0, f64::max)
}

fn pinned_line(run: &Run) -> Option<Line> {
    let points: Vec<_> = run
        .samples
        .iter()
        .map(|sample| (sample.seconds, sample.tls.pinned))
        .collect();
    Line::through(&points)
}

fn head(result: &mut LabResult, scenario: &Scenario, traffic: &Traffic) {
    let mut words = Vec::new();
    if let Some(pin) = result.run("pin").cloned() {
        let last = pin.last();
        words.push(amplification(&last));
        result.facts.extend([
            Fact::new("pin: heads held", last.tls.heads + last.tcp.heads, ""),
            Fact::new("pin: bytes of heads", last.head_bytes(), "bytes"),
            Fact::new("pin: pinned bytes", last.pinned_bytes(), "bytes"),
            Fact::new(
                "pin: amplification",
                last.pinned_bytes() / last.head_bytes().max(1.0),
                "",
            ),
            Fact::new("pin: RSS at the end", last.rss_bytes, "bytes"),
        ]);
        let line = pin.growth;
        let (slope, r2) = line.map_or((0.0, 0.0), |line| (line.slope, line.r2));
        result
            .facts
            .push(Fact::new("pin: growth of live slabs", slope, "bytes/s"));
        if traffic.tunnel_lifetime.is_none() {
            claim(
                result,
                "under pin memory grows linearly",
                r2 >= LINEAR && grown_slabs(&pin, scenario) > 2.0,
                format!("{} a second, R² {r2:.4}", format_bytes(slope)),
            );
        }
        let modelled = modelled(&pin, scenario, traffic);
        claim(
            result,
            "the model tells the pinned slabs within 10 %",
            modelled.difference.abs() <= TOLERANCE,
            modelled.why.clone().unwrap_or_else(|| {
                let (_, expected, seen) = modelled.points.last().copied().unwrap_or_default();
                format!(
                    "{expected:.1} expected, {seen:.0} seen at the end; {:+.1} % over the run",
                    modelled.difference * 100.0
                )
            }),
        );
        result.model = Some(modelled);
        if let Some(line) = pinned_line(&pin) {
            result
                .facts
                .push(Fact::new("pin: slabs pinned in a second", line.slope, ""));
        }
    }
    if let Some(copy) = result.run("copy").cloned() {
        let last = copy.last();
        let most_live = most(&copy, super::observe::Sample::live_bytes);
        words.push(format!(
            "Under copy the same load needs {:.1} MB of slabs.",
            most_live / 1e6
        ));
        result
            .facts
            .push(Fact::new("copy: RSS at the end", last.rss_bytes, "bytes"));
        claim(
            result,
            "under copy memory is flat within one slab per worker",
            is_flat(&copy, scenario),
            format!(
                "{} of slabs at most, {} are one each",
                format_bytes(most_live),
                format_bytes(floor_bytes(scenario))
            ),
        );
    }
    result.verdict = words.join(" ");
}

/// `412 bytes of heads keep 110 MB alive`.
fn amplification(last: &super::observe::Sample) -> String {
    format!(
        "{} bytes of {} heads keep {:.0} MB alive.",
        thousands(last.head_bytes()),
        thousands(last.tls.heads + last.tcp.heads),
        last.pinned_bytes() / 1e6
    )
}

/// `1,234,567`.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// Bytes carved in a second of tls slabs.
fn carved_rate(run: &Run) -> Option<f64> {
    let (first, last) = (run.samples.first()?, run.samples.last()?);
    let seconds = last.seconds - first.seconds;
    (seconds > 0.0).then(|| (last.tls.carved_bytes - first.tls.carved_bytes) / seconds)
}

/// What the model says from the arrivals that were asked for and the bytes that were carved, beside what was seen.
fn modelled(pin: &Run, scenario: &Scenario, traffic: &Traffic) -> Modelled {
    let common = &scenario.common;
    // The kernel spreads data connections over workers; each has its own slabs, and fills them in its own time.
    let workers = common.workers.min(traffic.data_connections) as f64;
    let model = Model {
        arrival_rate: traffic.tunnel_rate / workers,
        byte_rate: carved_rate(pin).unwrap_or(traffic.byte_rate as f64) / workers,
        slab: common.tls_slab as f64 - traffic.chunk.min(READ_MAX) as f64 / 2.0,
        lifetime: traffic.tunnel_lifetime.map(|mean| mean.as_secs_f64()),
    };
    let carved = pin.samples.first().map_or(0.0, |sample| sample.tls.carved_bytes);
    let filled = (carved / workers / model.slab).fract();
    let points: Vec<_> = pin
        .samples
        .iter()
        .map(|sample| {
            (
                sample.seconds,
                model.pinned(sample.seconds, filled) * workers,
                sample.tls.pinned,
            )
        })
        .collect();
    // Over the second half: a slab that retires a moment earlier or later than expected is no difference.
    let half = &points[points.len() / 2..];
    let sum = |of: fn(&(f64, f64, f64)) -> f64| half.iter().map(of).sum::<f64>();
    let (expected, seen) = (sum(|point| point.1), sum(|point| point.2));
    let difference = if expected > 0.0 { seen / expected - 1.0 } else { 0.0 };
    let slabs = points.last().map_or(0.0, |point| point.1);
    let why = (difference.abs() > TOLERANCE).then(|| {
        let asked = traffic.byte_rate as f64;
        let reached = pin.load.byte_rate;
        let spread = 1.0 / slabs.max(1.0).sqrt();
        if reached < asked * REACHED {
            format!(
                "{:+.0} %: only {} of {} a second were uploaded",
                difference * 100.0,
                format_bytes(reached),
                format_bytes(asked)
            )
        } else if workers > 1.0 {
            format!(
                "{:+.0} %: the workers do not fill their slabs equally fast",
                difference * 100.0
            )
        } else if difference.abs() < 2.0 * spread {
            format!(
                "{:+.0} %: of so few slabs ({slabs:.0}) chance makes ±{:.0} %; run longer",
                difference * 100.0,
                200.0 * spread
            )
        } else {
            format!("{:+.0} %: no known reason", difference * 100.0)
        }
    });
    Modelled {
        points,
        difference,
        why,
    }
}

fn uploads(result: &mut LabResult, scenario: &Scenario) {
    let grows = |run: &Run| grown_slabs(run, scenario) > 2.0;
    let of = |setting: &str| -> Vec<Run> {
        result
            .runs
            .iter()
            .filter(|run| run.setting == setting)
            .cloned()
            .collect()
    };
    let (pin, copy) = (of("pin"), of("copy"));
    let corners = |runs: &[Run]| -> Vec<String> {
        runs.iter()
            .filter(|run| grows(run))
            .filter_map(|run| run.corner.clone())
            .collect()
    };
    let growing = corners(&pin);
    for run in pin.iter().chain(&copy) {
        let seconds = run.last().seconds;
        let grown = run.growth.map_or(0.0, |line| line.slope * seconds);
        result.facts.push(Fact::new(
            format!("{}: growth of live slabs", run.name()),
            grown,
            "bytes",
        ));
    }
    let tell = |corners: &[String]| {
        if corners.is_empty() {
            "none grows".to_owned()
        } else {
            format!("growing: {}", corners.join(", "))
        }
    };
    claim(
        result,
        "under pin memory grows in one corner of four, with both",
        growing == ["both"] && pin.len() == 4,
        tell(&growing),
    );
    let both = pin.iter().find(|run| run.corner.as_deref() == Some("both"));
    if let Some(line) = both.and_then(|run| run.growth) {
        claim(
            result,
            "there it grows linearly",
            line.r2 >= LINEAR,
            format!("{} a second, R² {:.4}", format_bytes(line.slope), line.r2),
        );
    }
    claim(
        result,
        "under copy memory is flat in every corner, within one slab per worker",
        copy.len() == 4 && copy.iter().all(|run| is_flat(run, scenario)),
        tell(&corners(&copy)),
    );
    result.verdict = match both.map(Run::last) {
        Some(last) => format!(
            "Neither tunnels nor uploads alone make memory grow. Together they do: {} Under copy nothing grows.",
            amplification(&last)
        ),
        None => "Not all corners were run.".to_owned(),
    };
}

fn idle(result: &mut LabResult) {
    let value = |result: &LabResult, name: &str| {
        result
            .facts
            .iter()
            .find(|fact| fact.name == name)
            .map(|fact| fact.value)
    };
    let mut words = Vec::new();
    for setting in ["pin", "copy"] {
        let Some(run) = result.run(setting).cloned() else {
            continue;
        };
        let idle = value(result, &format!("{setting}, idle: RSS"));
        let after = value(result, &format!("{setting}, after the push: RSS"));
        if let (Some(idle), Some(after)) = (idle, after) {
            words.push(format!(
                "Under {setting} an idle tunnel costs the proxy {}, after one message {}.",
                format_bytes(idle.max(0.0)),
                format_bytes(after.max(0.0))
            ));
        }
        let open = run.before("push").map_or(0.0, |sample| sample.tunnels);
        claim(
            result,
            format!("under {setting} every tunnel was open and got its message"),
            open == run.load.tunnels as f64 && open > 0.0 && run.last().tunnels == open,
            format!("{open:.0} of {}", run.load.tunnels),
        );
    }
    result.verdict = words.join(" ");
}

/// Under pipe a reader may cost this much: both relays' buffers, and what TLS holds of a blocked write.
const HELD_BY_PIPE: f64 = (1 << 20) as f64;

fn backpressure(result: &mut LabResult, slow: &Backpressure) {
    let value = |name: &str| {
        let fact = result.facts.iter().find(|fact| fact.name == name);
        fact.map(|fact| fact.value)
    };
    let readers = slow.readers as f64;
    let asked = readers * slow.download as f64;
    let (queue, taken) = (
        value("queue: held while they read, besides slabs"),
        value("queue: taken by the readers"),
    );
    let pipe = value("pipe: held while they read, besides slabs");
    let after = value("queue: allocated afterwards, besides slabs").zip(value("queue: resident afterwards"));
    let mut words = Vec::new();
    if let (Some(held), Some(taken)) = (queue, taken) {
        words.push(format!(
            "Without backpressure the proxy holds {:.0} MB that {readers:.0} readers have not taken.",
            held / 1e6
        ));
        claim(
            result,
            "under queue most of what readers have not taken is in memory",
            held > (asked - taken) / 2.0,
            format!(
                "{} held of {} asked for, {} taken",
                format_bytes(held),
                format_bytes(asked),
                format_bytes(taken)
            ),
        );
    }
    if let Some(held) = pipe {
        words.push(format!("With it {:.1} MB.", held.max(0.0) / 1e6));
        claim(
            result,
            "under pipe a slow reader costs less than 1 MiB",
            held < HELD_BY_PIPE * readers,
            format!("{} for {readers:.0} readers", format_bytes(held.max(0.0))),
        );
    }
    if let Some((allocated, resident)) = after {
        words.push(format!(
            "After the readers have left, {:.1} MB more are allocated than before, and {:.1} MB more resident.",
            allocated / 1e6,
            resident / 1e6
        ));
    }
    result.verdict = words.join(" ");
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
        row = if ratio > trend.threshold { row + 1 } else { 0 };
        if row == trend.confirm {
            detected.alarms += 1;
            detected.sure.get_or_insert((seconds, number + 1));
        }
    }
    detected
}

fn trend_detectors(result: &mut LabResult, trend: &Trend) {
    let mut words = Vec::new();
    let mut told = Vec::new();
    for (setting, leaks) in [("pin", true), ("copy", false)] {
        let Some(run) = result.run(setting).cloned() else {
            continue;
        };
        let clock = crate::memory::Trend::default();
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
                    result
                        .facts
                        .push(Fact::new(format!("leaking: {name} is sure after"), seconds, "s"));
                    result.facts.push(Fact::new(
                        format!("leaking: {name} is sure after"),
                        samples as f64,
                        "samples",
                    ));
                    words.push(format!(
                        "{name} is sure of the leak after {seconds:.1} s and {samples} samples"
                    ));
                } else {
                    words.push(format!("{name} never is sure of the leak"));
                }
            } else {
                result.facts.push(Fact::new(
                    format!("not leaking: {name} cries wolf"),
                    detected.alarms as f64,
                    "times",
                ));
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
    claim(
        result,
        "the usage trend finds the leak",
        told.contains(&(true, "the usage trend", true)),
        words
            .iter()
            .filter(|word| word.contains("trend"))
            .cloned()
            .collect::<Vec<_>>()
            .join("; "),
    );
    result.verdict = words.join("; ");
    if let Some(first) = result.verdict.get(..1).map(str::to_uppercase) {
        result.verdict.replace_range(..1, &first);
        result.verdict.push('.');
    }
}
