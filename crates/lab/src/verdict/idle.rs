//! `idle`: what a tunnel costs, by part.

use super::{Findings, Repetition};
use crate::result::{Fact, LabResult, PHASES};
use crate::units::format_bytes;

pub(super) fn judge(runs: &Repetition<'_>) -> Findings {
    let mut found = Findings {
        facts: runs.0.iter().flat_map(|run| run.facts.clone()).collect(),
        ..Findings::default()
    };
    let mut words = Vec::new();
    for setting in ["pin", "copy"] {
        let Some(run) = runs.run(setting) else {
            continue;
        };
        let [idle, after] = PHASES.map(|phase| found.value(&format!("{setting}, {phase}: RSS")));
        if let (Some(idle), Some(after)) = (idle, after) {
            words.push(format!(
                "Under {setting} an idle tunnel costs the proxy {}, after one message {}.",
                format_bytes(idle.max(0.0)),
                format_bytes(after.max(0.0))
            ));
        }
        let open = run.before("push").map_or(0.0, |sample| sample.tunnels);
        found.claim(
            format!("under {setting} every tunnel was open and got its message"),
            open == run.load.tunnels as f64 && open > 0.0 && run.last().tunnels == open,
            format!("{open:.0} of {}", run.load.tunnels),
        );
    }
    found.verdict = words.join(" ");
    found
}

/// Bytes a tunnel: a row for each part of memory, a column for each setting before and after the push.
#[derive(Debug)]
pub(crate) struct Costs {
    /// Setting and phase of each column.
    pub(crate) columns: Vec<(String, &'static str)>,
    /// Part and facts of each row; the kernel's parts come last.
    pub(crate) rows: Vec<(String, Vec<Option<Fact>>)>,
}

/// The table of an `idle` result; `None` of another.
pub(crate) fn costs(result: &LabResult) -> Option<Costs> {
    let mut columns: Vec<(String, &'static str)> = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    for fact in &result.facts {
        let Some((column, part)) = fact.name.split_once(": ") else {
            continue;
        };
        let Some((setting, phase)) = column.split_once(", ") else {
            continue;
        };
        let Some(phase) = PHASES.into_iter().find(|known| *known == phase) else {
            continue;
        };
        if !columns.iter().any(|known| known.0 == setting && known.1 == phase) {
            columns.push((setting.to_owned(), phase));
        }
        if !parts.iter().any(|known| known == part) {
            parts.push(part.to_owned());
        }
    }
    let row = |part: String| {
        let cell = |(setting, phase): &(String, &str)| {
            let name = format!("{setting}, {phase}: {part}");
            result.facts.iter().find(|fact| fact.name == name).cloned()
        };
        let cells = columns.iter().map(cell).collect();
        (part, cells)
    };
    let rows: Vec<_> = parts.into_iter().map(row).collect();
    (!rows.is_empty()).then_some(Costs { columns, rows })
}
