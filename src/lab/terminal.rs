//! A result in a terminal, and two beside each other.

use std::fmt::Write as _;
use std::time::Duration;

use super::model::{Model, Simulated};
use super::result::{Fact, LabResult};
use super::units::format_bytes;
use super::verdict::thousands;

/// The outcome, for people.
#[must_use]
pub fn summary(result: &LabResult) -> String {
    let mut text = String::new();
    let LabResult {
        scenario,
        variant,
        title,
        seed,
        machine,
        ..
    } = result;
    let partial = if result.partial { "  PARTIAL" } else { "" };
    line(&mut text, &format!("{scenario} ({variant}): {title}{partial}\n"));
    line(&mut text, &format!("{}\n", result.verdict));
    for run in &result.runs {
        let last = run.last();
        let growth = run.growth.map_or_else(String::new, |growth| {
            format!(", live slabs {}/s, R² {:.3}", signed(growth.slope), growth.r2)
        });
        line(
            &mut text,
            &format!(
                "  {:22} RSS {:>8}, live slabs {:>8}, pinned {:>8}, heads {:>5} of {} B{growth}",
                run.name(),
                format_bytes(last.rss_bytes),
                format_bytes(last.live_bytes()),
                format_bytes(last.pinned_bytes()),
                thousands(last.tls.heads + last.tcp.heads),
                thousands(last.head_bytes()),
            ),
        );
    }
    text.push('\n');
    for fact in &result.facts {
        line(&mut text, &format!("  {}: {}", fact.name, number(fact)));
    }
    text.push('\n');
    for claim in &result.claims {
        let mark = if claim.holds { "holds" } else { "FAILS" };
        line(&mut text, &format!("  {mark}  {} ({})", claim.claim, claim.because));
    }
    for warning in &result.warnings {
        line(&mut text, &format!("  doubt  {warning}"));
    }
    line(
        &mut text,
        &format!(
            "\n  headpin {} {} ({}, {}), seed {seed}, {} × {}, Linux {}",
            machine.version,
            machine.commit,
            machine.build,
            machine.allocator,
            machine.cores,
            machine.processor,
            machine.kernel
        ),
    );
    text
}

/// Two results of the same scenario, number by number.
#[must_use]
pub fn compare(a: &LabResult, b: &LabResult) -> String {
    let mut text = String::new();
    for (name, result) in [("A", a), ("B", b)] {
        let LabResult {
            scenario,
            variant,
            machine,
            ..
        } = result;
        let partial = if result.partial { ", partial" } else { "" };
        line(
            &mut text,
            &format!(
                "{name}: {scenario} ({variant}{partial}), {} {} ({}): {}",
                machine.version, machine.commit, machine.build, result.verdict
            ),
        );
    }
    for key in differing(&a.config, &b.config) {
        let of = |result: &LabResult| {
            result
                .config
                .get(&key)
                .map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        line(
            &mut text,
            &format!("  {key}: {} against {}: not the same experiment", of(a), of(b)),
        );
    }
    if a.machine.build != b.machine.build || a.machine.processor != b.machine.processor {
        line(
            &mut text,
            "  not the same build or machine: figures of CPU and rates cannot be compared",
        );
    }
    text.push('\n');
    for fact in numbers(a) {
        let other = numbers(b)
            .into_iter()
            .find(|other| other.name == fact.name && other.unit == fact.unit);
        let Some(other) = other else { continue };
        let change = if fact.value == 0.0 {
            String::new()
        } else {
            format!("{:+.1} %", (other.value / fact.value - 1.0) * 100.0)
        };
        line(
            &mut text,
            &format!(
                "  {:60} {:>14} {:>14} {change:>10}",
                fact.name,
                number(&fact),
                number(&other)
            ),
        );
    }
    text.push('\n');
    for claim in &a.claims {
        let Some(other) = b.claims.iter().find(|other| other.claim == claim.claim) else {
            continue;
        };
        let word = |holds| if holds { "holds" } else { "FAILS" };
        line(
            &mut text,
            &format!(
                "  {:60} {:>14} {:>14}",
                claim.claim,
                word(claim.holds),
                word(other.holds)
            ),
        );
    }
    text
}

/// The formula beside the simulation.
#[must_use]
pub fn model(model: &Model, simulated: &Simulated, took: Duration) -> String {
    let mut text = String::new();
    let Simulated { points, tunnels, slabs } = simulated;
    line(
        &mut text,
        &format!(
            "A slab fills in {:.2} s; {:.2} tunnels arrive in that time.",
            model.fill_time(),
            model.arrival_rate * model.fill_time()
        ),
    );
    match model.steady() {
        Some(steady) => line(
            &mut text,
            &format!(
                "In the long run {steady:.1} slabs are pinned: {}.",
                format_bytes(steady * model.slab)
            ),
        ),
        None => line(
            &mut text,
            &format!(
                "Each slab is pinned with probability {:.4}, for ever: {} more every second.",
                model.pinned_at_age(0.0),
                format_bytes(model.pinned_at_age(0.0) * model.byte_rate)
            ),
        ),
    }
    line(
        &mut text,
        &format!(
            "\n  {} tunnels simulated while {} slabs retired, in {:.2} s:\n\n  {:>14} {:>12} {:>12} {:>9}",
            thousands(*tunnels as f64),
            thousands(*slabs as f64),
            took.as_secs_f64(),
            "seconds",
            "expected",
            "simulated",
            "apart"
        ),
    );
    for (seconds, seen) in &points[1..] {
        let expected = model.pinned(*seconds, 0.0);
        line(
            &mut text,
            &format!(
                "  {:>14} {expected:>12.1} {seen:>12.0} {:>7.2} %",
                thousands(*seconds),
                if expected > 0.0 {
                    (seen / expected - 1.0) * 100.0
                } else {
                    0.0
                }
            ),
        );
    }
    text
}

/// The facts, and what every run ended with.
fn numbers(result: &LabResult) -> Vec<Fact> {
    let of_runs = result.runs.iter().flat_map(|run| {
        let (name, last) = (run.name(), run.last());
        [
            Fact::new(format!("{name}: RSS at its end"), last.rss_bytes, "bytes"),
            Fact::new(format!("{name}: live slabs at its end"), last.live_bytes(), "bytes"),
            Fact::new(format!("{name}: CPU time"), last.cpu_seconds, "s"),
        ]
    });
    result.facts.iter().cloned().chain(of_runs).collect()
}

/// Keys that the two do not share, or with other values.
fn differing(a: &serde_json::Value, b: &serde_json::Value) -> Vec<String> {
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut all = [keys(a), keys(b)].concat();
    all.sort();
    all.dedup();
    all.retain(|key| a.get(key) != b.get(key));
    all
}

/// A number with its unit.
pub(super) fn number(fact: &Fact) -> String {
    let Fact { value, unit, .. } = fact;
    match unit.as_str() {
        "bytes" => signed(*value),
        "bytes/s" => format!("{}/s", signed(*value)),
        "bytes per tunnel" => format!("{} a tunnel", signed(*value)),
        "" if value.abs() >= 100.0 => thousands(*value),
        "" => format!("{value:.2}"),
        "s" => format!("{value:.1} s"),
        unit => format!("{value:.0} {unit}"),
    }
}

fn signed(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    format!("{sign}{}", format_bytes(bytes.abs()))
}

fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    _ = writeln!(text, "{line}");
}
