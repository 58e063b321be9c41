//! The results of a run, as plain data.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::fault::FaultKind;
use super::plan::{Unit, Work};
use super::process::ProcessSample;
use super::stats::{Seen, Spread};
use super::target::Target;

/// A thread that is busier than this has no time to spare for the target.
const BUSY: f64 = 0.9;
/// A thread that waits for a core longer than this does so at the target's expense or its own.
const STARVED: f64 = 0.1;
/// The part of an asked rate that counts as reaching it.
const REACHED: f64 = 0.95;
/// In a shorter time than this many seconds, being busy means nothing.
const SHORTEST: f64 = 0.1;
/// Fewer units say little about a percentile.
const FEW_UNITS: u64 = 100;
/// CPU times come in hundredths of a second: below this many seconds of them they are mostly rounding.
const LITTLE_CPU: f64 = 0.5;

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
    /// Messages, connections or bodies that were done in it and verified.
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

/// A reason for doubt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// The generator was compiled without optimisation.
    DebugBuild,
    /// The generator was the limit.
    GeneratorBusy {
        /// See [`Generator::busy_ratio`].
        busy_ratio: f64,
    },
    /// The machine was the limit.
    GeneratorStarved {
        /// See [`Generator::starved_ratio`].
        starved_ratio: f64,
    },
    /// Connections were opened more slowly than asked.
    RateNotReached {
        /// Per second.
        asked: f64,
        /// Per second.
        reached: f64,
        /// Who could not do more.
        limit: Limit,
    },
    /// Too few units for percentiles.
    FewUnits {
        /// How many.
        units: u64,
    },
    /// Too little CPU time to divide.
    LittleCpu {
        /// How much.
        seconds: f64,
    },
    /// The watched process may not be looked at closely.
    NoPss,
}

/// Who could not do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A thread of the generator was always busy.
    Generator,
    /// The generator would have done more with more cores.
    Machine,
    /// The generator had time to spare.
    Target,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebugBuild => write!(f, "this is a debug build; use `cargo build --release` for figures"),
            Self::GeneratorBusy { busy_ratio } => write!(
                f,
                "the generator was the limit, not the target: a thread was busy {:.0} % of the time; use more --threads",
                busy_ratio * 100.0
            ),
            Self::GeneratorStarved { starved_ratio } => write!(
                f,
                "the generator waited {:.0} % of the time for a core: times per second and latencies tell of the \
                 machine's load; CPU per unit still holds",
                starved_ratio * 100.0
            ),
            Self::RateNotReached { asked, reached, limit } => write!(
                f,
                "{asked:.0} connections a second were asked for and {reached:.0} reached: {}",
                match limit {
                    Limit::Generator => "the generator is the limit; use more --threads",
                    Limit::Machine => "this machine has no core to spare; lower --rate",
                    Limit::Target => "the target takes no more; lower --rate",
                }
            ),
            Self::FewUnits { units } => {
                write!(
                    f,
                    "{units} units are too few for percentiles; allow a longer --duration or a higher --count"
                )
            }
            Self::LittleCpu { seconds } => write!(
                f,
                "the process took {seconds:.2} s of CPU, counted in hundredths: CPU per unit is mostly rounding; \
                 measure for longer"
            ),
            Self::NoPss => write!(f, "PSS cannot be read; run as the process's user or as root"),
        }
    }
}

impl Report {
    /// Whether all that was asked for was done, and without a fault.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && !self.partial
    }

    /// Adds what there is to doubt.
    pub(super) fn doubt(&mut self) {
        let Generator {
            busy_ratio,
            starved_ratio,
            ..
        } = self.generator;
        if cfg!(debug_assertions) {
            self.warnings.push(Warning::DebugBuild);
        }
        let long_enough = self.seconds >= SHORTEST;
        if busy_ratio > BUSY && long_enough {
            self.warnings.push(Warning::GeneratorBusy { busy_ratio });
        }
        if starved_ratio > STARVED && long_enough {
            self.warnings.push(Warning::GeneratorStarved { starved_ratio });
        }
        if let Rate {
            asked: Some(asked),
            reached: Some(reached),
        } = self.rate
            && reached < asked * REACHED
        {
            let limit = match () {
                () if busy_ratio > BUSY => Limit::Generator,
                () if starved_ratio > STARVED => Limit::Machine,
                () => Limit::Target,
            };
            self.warnings.push(Warning::RateNotReached { asked, reached, limit });
        }
        if matches!(self.work, Work::Echo { .. } | Work::Churn { .. }) && self.units < FEW_UNITS {
            self.warnings.push(Warning::FewUnits { units: self.units });
        }
        let Some(process) = &self.process else { return };
        let seconds = process.cpu_of_units(&self.work);
        if process.cpu_us_per_unit.is_some() && seconds < LITTLE_CPU {
            self.warnings.push(Warning::LittleCpu { seconds });
        }
        if process.end.pss_bytes.is_none() {
            self.warnings.push(Warning::NoPss);
        }
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
