//! Why a report may not be believed, in words.

use std::fmt;

use serde::Serialize;

/// A reason for doubt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// The generator was compiled without optimisation.
    DebugBuild,
    /// The generator was the limit.
    GeneratorBusy {
        /// See [`Generator::busy_ratio`](super::Generator::busy_ratio).
        busy_ratio: f64,
    },
    /// The machine was the limit.
    GeneratorStarved {
        /// See [`Generator::starved_ratio`](super::Generator::starved_ratio).
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
