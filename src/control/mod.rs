//! The workers from above: their threads, what they can be asked, and what changes while they run.

mod arrivals;
mod execute;
mod life;
mod monitor;
mod policy;
mod reload;
mod rows;
mod sweep;
mod thread;
mod workers;

#[cfg(feature = "fuzzing")]
pub use arrivals::fuzz_arrival;
pub use life::{Life, LifePhase};
pub use monitor::UpstreamMonitor;
pub use policy::PolicySwitch;
pub use reload::{ReloadError, Reloaded, Reloader, put_in_force};
pub use rows::RowsPage;
pub use thread::{WorkerSettings, WorkerThread};
pub use workers::{Command, NoWorkers, WorkerHandle, Workers};
