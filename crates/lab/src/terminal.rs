//! A result in a terminal.

use std::fmt::Write as _;

use super::result::{Fact, LabResult, PER_TUNNEL};
use super::verdict::{Costs, costs};
use super::words::{medians, number, range, spread};

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
    if let Some(medians) = medians(result) {
        line(&mut text, &format!("{medians}\n"));
    }
    runs(&mut text, result);
    text.push('\n');
    let costs = costs(result);
    if let Some(costs) = &costs {
        table(&mut text, costs);
    }
    for fact in result
        .facts
        .iter()
        .filter(|fact| costs.is_none() || fact.unit != PER_TUNNEL)
    {
        line(&mut text, &format!("  {}: {}{}", fact.name, number(fact), spread(fact)));
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

/// What every setting ended with: the median, and under it the spread if there is one.
fn runs(text: &mut String, result: &LabResult) {
    let ends = [
        ("RSS", result.of_runs("bytes", |run| run.last().rss_bytes)),
        ("live slabs", result.of_runs("bytes", |run| run.last().live_bytes())),
        ("pinned", result.of_runs("bytes", |run| run.last().pinned_bytes())),
        ("heads", result.of_runs("count", |run| run.last().heads())),
        (
            "growth",
            result.of_runs("bytes/s", |run| run.growth.map_or(0.0, |line| line.slope)),
        ),
    ];
    let width = if result.repetitions > 1 { 28 } else { 14 };
    let mut row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.map(|cell| format!("{cell:>width$}")).collect();
        line(text, format!("  {name:22}{}", cells.concat()).trim_end());
    };
    row("", &mut ends.iter().map(|end| end.0.to_owned()));
    for (at, Fact { name, .. }) in ends[0].1.iter().enumerate() {
        row(name, &mut ends.iter().map(|end| number(&end.1[at])));
        if result.repetitions > 1 {
            row("", &mut ends.iter().map(|end| range(&end.1[at])));
        }
    }
}

/// Bytes a tunnel, by part.
fn table(text: &mut String, costs: &Costs) {
    let mut row = |name: &str, cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>22}")).collect();
        line(text, &format!("  {name:48}{}", cells.concat()));
    };
    let heads = costs
        .columns
        .iter()
        .map(|(setting, phase)| format!("{setting}, {phase}"));
    row("bytes a tunnel", heads.collect());
    for (part, cells) in &costs.rows {
        let told = |cell: &Option<Fact>| {
            cell.as_ref()
                .map_or_else(|| "-".to_owned(), |fact| number(fact) + &spread(fact))
        };
        row(part, cells.iter().map(told).collect());
    }
    text.push('\n');
}

pub(super) fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    _ = writeln!(text, "{line}");
}
