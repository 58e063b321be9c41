//! The model in a terminal.

use std::time::Duration;

use super::{Model, Simulated};
use crate::terminal::line;
use crate::units::format_bytes;
use crate::words::thousands;

/// The formula beside the simulation.
#[must_use]
pub fn summary(model: &Model, simulated: &Simulated, took: Duration) -> String {
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
    // Ten of them.
    for (seconds, seen) in points.iter().step_by((points.len() / 10).max(1)).skip(1) {
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
