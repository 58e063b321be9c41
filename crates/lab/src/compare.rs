//! Two results beside each other.

use super::result::{Fact, LabResult, Run};
use super::terminal::line;
use super::words::number;

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
    if a.repetitions.max(b.repetitions) == 1 {
        line(
            &mut text,
            "  one repetition each: how far chance moves these figures is not known; use --repeat",
        );
    }
    text.push('\n');
    for fact in numbers(a) {
        let other = numbers(b)
            .into_iter()
            .find(|other| other.name == fact.name && other.unit == fact.unit);
        let Some(other) = other else { continue };
        line(
            &mut text,
            &format!(
                "  {:60} {:>14} {:>14} {}",
                fact.name,
                number(&fact),
                number(&other),
                change(&fact, &other)
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

/// How the second differs from the first, and whether that is more than repetitions of the same differ.
fn change(a: &Fact, b: &Fact) -> String {
    let change = if a.value == 0.0 || a.unit == "part" {
        String::new()
    } else {
        format!("{:+.1} %", (b.value / a.value - 1.0) * 100.0)
    };
    let repeated = a.each.len().max(b.each.len()) > 1;
    let beyond = if !repeated {
        ""
    } else if a.spread().overlaps(&b.spread()) {
        "no difference beyond the spread"
    } else {
        "beyond the spread"
    };
    format!("{change:>10}  {beyond}").trim_end().to_owned()
}

/// The facts, and what every setting ended with.
fn numbers(result: &LabResult) -> Vec<Fact> {
    let of_runs = |what: &str, unit: &str, of: fn(&Run) -> f64| {
        let mut facts = result.of_runs(unit, of);
        for fact in &mut facts {
            fact.name += what;
        }
        facts
    };
    [
        result.facts.clone(),
        of_runs(": RSS at its end", "bytes", |run| run.last().rss_bytes),
        of_runs(": live slabs at its end", "bytes", |run| run.last().live_bytes()),
        of_runs(": CPU time", "s", |run| run.last().cpu_seconds),
    ]
    .concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(values: &[f64]) -> Fact {
        let facts: Vec<Fact> = values.iter().map(|value| Fact::new("RSS", *value, "bytes")).collect();
        Fact::together(&facts).unwrap()
    }

    #[test]
    fn a_difference_within_the_spread_is_none() {
        let (a, b) = (fact(&[100.0, 110.0, 120.0]), fact(&[115.0, 121.0, 130.0]));
        assert!(
            change(&a, &b).ends_with("+10.0 %  no difference beyond the spread"),
            "{}",
            change(&a, &b)
        );
        let far = fact(&[220.0, 221.0, 222.0]);
        assert!(
            change(&a, &far).ends_with("+100.9 %  beyond the spread"),
            "{}",
            change(&a, &far)
        );
        // One against several: is it one that the several may have been?
        assert!(change(&a, &fact(&[112.0])).contains("no difference"));
        assert!(change(&fact(&[100.0]), &fact(&[112.0])).ends_with("+12.0 %"));
    }
}
