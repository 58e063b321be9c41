//! `backpressure`: what slow readers have not taken is in memory, or stays with the sender.

use super::{Findings, Repetition};
use crate::scenario::Backpressure;
use crate::units::format_bytes;

/// Under pipe a reader may cost this much: both relays' buffers, and what TLS holds of a blocked write.
const HELD_BY_PIPE: f64 = (1 << 20) as f64;

pub(super) fn judge(runs: &Repetition<'_>, slow: &Backpressure) -> Findings {
    let mut found = Findings {
        facts: runs.0.iter().flat_map(|run| run.facts.clone()).collect(),
        ..Findings::default()
    };
    let readers = slow.readers as f64;
    let asked = readers * slow.download as f64;
    let (queue, taken) = (
        found.value("queue: held while they read, besides slabs"),
        found.value("queue: taken by the readers"),
    );
    let pipe = found.value("pipe: held while they read, besides slabs");
    let after = found
        .value("queue: allocated afterwards, besides slabs")
        .zip(found.value("queue: resident afterwards"));
    let mut words = Vec::new();
    if let (Some(held), Some(taken)) = (queue, taken) {
        words.push(format!(
            "Without backpressure the proxy holds {:.0} MB that {readers:.0} readers have not taken.",
            held / 1e6
        ));
        found.claim(
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
        found.claim(
            "under pipe a slow reader costs less than 1 MiB",
            held < HELD_BY_PIPE * readers,
            format!("{} for {readers:.0} readers", format_bytes(held.max(0.0))),
        );
    }
    if let Some((allocated, resident)) = after {
        words.push(format!(
            "After the readers have left, {} MB more are allocated than before, and {} MB more resident.",
            megabytes(allocated.max(0.0)),
            megabytes(resident.max(0.0))
        ));
    }
    found.verdict = words.join(" ");
    found
}

/// To a tenth, and never minus nothing.
fn megabytes(bytes: f64) -> f64 {
    (bytes / 1e5).round() / 10.0 + 0.0
}
