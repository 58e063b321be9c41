//! `head`: a line under pin, flat under copy, and as many slabs as the model says.

use super::{Findings, LINEAR, REACHED, Repetition, amplification, grown_slabs, is_flat, most};
use crate::fit::Line;
use crate::model::{Model, difference, told_chance};
use crate::observe::Sample;
use crate::result::{Fact, Modelled, Run};
use crate::scenario::{Scenario, Traffic};
use crate::units::format_bytes;

/// How far model and measurement may be apart.
const TOLERANCE: f64 = 0.10;
/// The longest read, `tunnel.relay_buffer`: of the end of a slab, half a read's length is lost on average.
const READ_MAX: u64 = 64 << 10;

pub(super) fn judge(runs: &Repetition<'_>, scenario: &Scenario, traffic: &Traffic) -> Findings {
    let mut found = Findings::default();
    let mut words = Vec::new();
    if let Some(pin) = runs.run("pin") {
        let last = pin.last();
        words.push(amplification(&last));
        found.facts.extend([
            Fact::new("pin: heads held", last.heads(), ""),
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
        found.fact("pin: growth of live slabs", slope, "bytes/s");
        found.fact("pin: R² of that growth", r2, "R²");
        if traffic.tunnel_lifetime.is_none() {
            found.claim(
                "under pin memory grows linearly",
                r2 >= LINEAR && grown_slabs(pin, scenario) > 2.0,
                format!("{} a second, R² {r2:.4}", format_bytes(slope)),
            );
        }
        let modelled = modelled(pin, scenario, traffic);
        found.claim(
            "the model tells the pinned slabs within 10 %",
            modelled.difference.abs() <= TOLERANCE,
            {
                let (_, expected, seen) = modelled.points.last().copied().unwrap_or_default();
                let why = modelled.why.as_deref().map(|why| format!(": {why}"));
                format!(
                    "{expected:.1} expected, {seen:.0} seen at the end; {:+.1} % over the run{}",
                    modelled.difference * 100.0,
                    why.unwrap_or_default()
                )
            },
        );
        found.fact("pin: pinned slabs against the model", modelled.difference, "part");
        found.model = Some(modelled);
        if let Some(line) = pinned_line(pin) {
            found.fact("pin: slabs pinned in a second", line.slope, "");
        }
    }
    if let Some(copy) = runs.run("copy") {
        let last = copy.last();
        let most_live = most(copy, Sample::live_bytes);
        words.push(format!(
            "Under copy the same load needs {:.1} MB of slabs.",
            most_live / 1e6
        ));
        found.fact("copy: live slabs at most", most_live, "bytes");
        found.fact("copy: RSS at the end", last.rss_bytes, "bytes");
        found.claim(
            "under copy memory is flat within one slab per worker",
            is_flat(copy, scenario),
            format!(
                "{} of slabs at most, {} are one each",
                format_bytes(most_live),
                format_bytes(floor_bytes(scenario))
            ),
        );
    }
    found.verdict = words.join(" ");
    found
}

fn pinned_line(run: &Run) -> Option<Line> {
    let points: Vec<_> = run
        .samples
        .iter()
        .map(|sample| (sample.seconds, sample.tls.pinned))
        .collect();
    Line::through(&points)
}

/// Bytes of one live slab of each class for each worker: what there always is.
fn floor_bytes(scenario: &Scenario) -> f64 {
    (scenario.common.tls_slab + scenario.common.tcp_slab) as f64 * scenario.common.workers as f64
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
    let column = |of: fn(&(f64, f64, f64)) -> f64| points.iter().map(of).collect::<Vec<f64>>();
    let difference = difference(&column(|point| point.1), &column(|point| point.2));
    let why = (difference.abs() > TOLERANCE).then(|| {
        let asked = traffic.byte_rate as f64;
        let reached = pin.load.byte_rate;
        let chance = model.chance(pin.last().seconds, filled);
        if reached < asked * REACHED {
            format!(
                "only {} of {} a second were uploaded",
                format_bytes(reached),
                format_bytes(asked)
            )
        } else if pin.load.late_seconds > model.fill_time() {
            format!(
                "uploads began up to {:.1} s late and were made up for, so that slabs did not fill evenly",
                pin.load.late_seconds
            )
        } else if workers > 1.0 {
            "the workers do not fill their slabs equally fast".to_owned()
        } else if (chance.least..=chance.most).contains(&difference) {
            told_chance(chance)
        } else {
            "no known reason".to_owned()
        }
    });
    Modelled {
        model,
        workers: workers as u32,
        filled,
        points,
        difference,
        why,
    }
}
