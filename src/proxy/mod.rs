//! What happens on a connection: HTTP, upgrade, tunnel.

mod body;
mod census;
mod connection;
mod control;
mod error;
mod execute;
mod forward;
mod frames;
mod handshake;
mod headers;
mod life;
mod measured;
mod policy;
mod registry;
mod relay;
mod reload;
mod rows;
mod service;
mod settings;
mod tunnel;
mod upgrade;
mod worker;

pub use census::{ConnectionReport, HeadReport, WorkerCensus};
pub use connection::spawn_connection;
pub use control::{Command, NoWorkers, WorkerHandle, Workers};
pub use execute::execute;
pub use frames::{Followed, FrameFollower};
pub use life::{Life, LifePhase};
pub use policy::PolicySwitch;
pub use registry::{ConnectionRecord, Phase, Registry};
pub use reload::{ReloadError, Reloaded, Reloader, put_in_force};
pub use rows::RowsPage;
pub use settings::{Settings, Shared};
pub use worker::{TICK, WorkerContext};
