//! The results of a run, as plain data.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fault::FaultKind;
use super::plan::{Unit, Work};
use super::process::ProcessSample;
use super::stats::{Seen, Spread};
use super::target::Target;
use super::warning::Warning;

/// What a run found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version of the generator.
    pub version: &'static str,
    /// What was loaded.
    pub target: Target,
    /// What was done.
    pub work: Work,
    /// Whether it was interrupted: what is here was measured, but it is not all.
    pub partial: bool,
    /// The parameters of TLS, if it was spoken.
    pub tls: Option<String>,
    /// The connections.
    pub connections: Connections,
    /// New connections per second.
    pub rate: Rate,
    /// From a connection's first packet to the end of its upgrade.
    pub opening: Option<Spread>,
    /// The length of the measured part.
    pub seconds: f64,
    /// Messages, connections or bodies that were done in it and verified; of idle, messages that were pushed.
    pub units: u64,
    /// Units in a second.
    pub units_per_second: f64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// How long a unit took.
    pub latency: Option<Spread>,
    /// Greetings that came in one read with the 101.
    pub early_greetings: u64,
    /// What went wrong, by kind.
    pub faults: BTreeMap<FaultKind, Seen>,
    /// The watched process.
    pub process: Option<Process>,
    /// The generator itself.
    pub generator: Generator,
    /// Why this should not be believed as it stands.
    pub warnings: Vec<Warning>,
}

/// Counts of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// As planned; of churn, at once.
    pub asked: u64,
    /// Opened in all.
    pub opened: u64,
    /// Of these, with resumed TLS.
    pub resumed: u64,
    /// Open when the work began.
    pub ready: u64,
}

/// New connections per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// The limit that was set.
    pub asked: Option<f64>,
    /// From the first to the last.
    pub reached: Option<f64>,
}

/// What the watched process tree took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Process {
    /// Its root.
    pub pid: u32,
    /// The root's command.
    pub command: String,
    /// Before the first connection was opened (one had been, to try).
    pub before: ProcessSample,
    /// When all connections were open.
    pub ready: ProcessSample,
    /// When the work was done and all connections still open.
    pub end: ProcessSample,
    /// A second after they were closed.
    pub after: ProcessSample,
    /// The most that was seen from `ready` on.
    pub peak_rss_bytes: u64,
    /// What `cpu_us_per_unit` is per.
    pub unit: Unit,
    /// CPU time per unit, in microseconds: of opening, where opening is the work, else of the measured part.
    pub cpu_us_per_unit: Option<f64>,
    /// RSS that the open connections added, up to the end, for each.
    pub rss_per_connection: Option<f64>,
    /// PSS likewise.
    pub pss_per_connection: Option<f64>,
    /// RSS that the work added at most, after all were open, for each connection.
    pub rss_growth_per_connection: Option<f64>,
}

/// What the generator itself took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Generator {
    /// Its threads.
    pub threads: usize,
    /// The part of the measured time (with idle and head: of the opening) that its busiest thread was on a core.
    pub busy_ratio: f64,
    /// The part that some thread was ready to run and had no core.
    pub starved_ratio: f64,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
    /// RSS of its process that the open connections added, for each. What a run costs once is part of it, so that of a
    /// few hundred connections it says little.
    pub rss_per_connection: Option<f64>,
}

impl Report {
    /// Whether all that was asked for was done, and without a fault.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && !self.partial
    }
}

impl Process {
    /// The CPU time that the units took.
    pub(super) fn cpu_of_units(&self, work: &Work) -> f64 {
        let (from, to) = match work {
            Work::Idle { .. } | Work::Head { .. } => (&self.before, &self.ready),
            _ => (&self.ready, &self.end),
        };
        to.cpu_seconds() - from.cpu_seconds()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::plan::Until;
    use super::*;

    /// A run without a reason for doubt, but that tests are debug builds.
    pub(in super::super) fn report(work: Work) -> Report {
        let spread = Spread {
            count: 1_000,
            mean_us: 110.0,
            p50_us: 100.0,
            p90_us: 150.5,
            p99_us: 2_000.0,
            p99_9_us: 30_000.0,
            max_us: 4_000_000.0,
        };
        let sample = |rss_bytes, user_seconds| ProcessSample {
            processes: 2,
            user_seconds,
            system_seconds: 1.0,
            rss_bytes,
            pss_bytes: Some(rss_bytes / 2),
        };
        Report {
            version: "0.1.0",
            target: "wss://localhost:8443".parse().unwrap(),
            work,
            partial: false,
            tls: Some("TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519".to_owned()),
            connections: Connections {
                asked: 1_000,
                opened: 1_000,
                resumed: 0,
                ready: 1_000,
            },
            rate: Rate {
                asked: Some(500.0),
                reached: Some(499.0),
            },
            opening: Some(spread),
            seconds: 10.0,
            units: 100_000,
            units_per_second: 10_000.0,
            bytes_sent: 12_800_000,
            bytes_received: 12_800_000,
            latency: Some(spread),
            early_greetings: 0,
            faults: BTreeMap::new(),
            process: Some(Process {
                pid: 42,
                command: "proxy".to_owned(),
                before: sample(10 << 20, 1.0),
                ready: sample(20 << 20, 2.0),
                end: sample(20 << 20, 3.0),
                after: sample(15 << 20, 3.0),
                peak_rss_bytes: 30 << 20,
                unit: Unit::Message,
                cpu_us_per_unit: Some(10.0),
                rss_per_connection: Some(10_485.76),
                pss_per_connection: Some(5_242.88),
                rss_growth_per_connection: Some(10_485.76),
            }),
            generator: Generator {
                threads: 1,
                busy_ratio: 0.5,
                starved_ratio: 0.02,
                cpu_seconds: 5.0,
                rss_per_connection: Some(5_600.0),
            },
            warnings: Vec::new(),
        }
    }

    pub(in super::super) fn echo() -> Work {
        Work::Echo {
            connections: 1_000,
            size: 128,
            in_flight: 1,
            own_records: false,
            rate: None,
            until: Until::Elapsed(Duration::from_secs(10)),
        }
    }

    #[test]
    fn a_report_reads_as_json() {
        let json = serde_json::to_value(report(echo())).unwrap();
        assert_eq!(json["work"]["until"]["elapsed"], 10.0);
        assert_eq!(json["process"]["end"]["rss_bytes"], 20 << 20);
        assert_eq!(json["target"], "wss://localhost:8443/");
    }
}
