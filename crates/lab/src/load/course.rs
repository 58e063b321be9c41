//! What a run went through, and the report of it.

use super::clock::Lap;
use super::plan::{Plan, Unit, Work};
use super::report::{Connections, Generator, Process, Rate, Report};
use super::seat::Shared;
use super::stats::{Spread, Tally};

/// A run that is over.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) opening: Lap,
    pub(super) working: Lap,
    /// Connections that were open when the work began.
    pub(super) opened: u64,
    pub(super) partial: bool,
    /// The parameters of TLS.
    pub(super) tls: Option<String>,
    /// RSS that the generator's process gained.
    pub(super) own_growth: f64,
}

impl Course {
    /// Puts it together with what was counted; `process` says what the watched process took for so many units.
    pub(super) fn into_report(self, shared: &Shared, process: impl FnOnce(f64) -> Option<Process>) -> Report {
        let Plan {
            work,
            target,
            rate,
            threads,
            ..
        } = &shared.plan;
        let total = shared.live.total();
        let reached = total.opening_rate();
        let count = count(work, &total);
        // Where opening is the work, its time is the one that counts.
        let measured = match work {
            Work::Idle { .. } | Work::Head { .. } => self.opening,
            _ => self.working,
        };
        let Tally {
            opened,
            resumed,
            opening,
            units,
            latency,
            bytes_sent,
            bytes_received,
            ..
        } = total;
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION"),
            target: target.clone(),
            work: work.clone(),
            partial: self.partial,
            tls: self.tls,
            connections: Connections {
                asked: work.connections(),
                opened,
                resumed,
                ready: self.opened,
            },
            rate: Rate { asked: *rate, reached },
            opening: Spread::of(&opening),
            seconds: measured.seconds,
            units,
            units_per_second: if measured.seconds > 0.0 {
                units as f64 / measured.seconds
            } else {
                0.0
            },
            bytes_sent,
            bytes_received,
            latency: Spread::of(&latency),
            early_greetings: total.early_greetings,
            faults: total.faults,
            process: process(count),
            generator: Generator {
                threads: threads.get(),
                busy_ratio: measured.busy_ratio,
                starved_ratio: measured.starved_ratio,
                cpu_seconds: measured.cpu_seconds,
                rss_per_connection: (self.opened > 0).then(|| self.own_growth / self.opened as f64),
            },
            warnings: Vec::new(),
        };
        report.doubt();
        report
    }
}

/// How many of the work's unit were done.
fn count(work: &Work, total: &Tally) -> f64 {
    match (work.unit(), work) {
        (Unit::Gigabyte, _) => (total.bytes_sent + total.bytes_received) as f64 / 1e9,
        (Unit::Connection, Work::Idle { .. } | Work::Slow { .. }) => total.opened as f64,
        (Unit::Message | Unit::Connection, _) => total.units as f64,
    }
}
