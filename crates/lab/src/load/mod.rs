//! `headpin load`: a load generator that is good enough to judge proxies with.
//!
//! ```text
//!   Plan ─► Run ─┬─ try the target once: what is wrong is said before anything is measured
//!                ├─ open, at a rate     ┐                        sample the watched process: before,
//!                ├─ work                ├─ workers, one a        ready, (peak), end, after
//!                ├─ close               ┘  connection, on the
//!                └─► Report                lanes' threads ─► tallies
//! ```
//!
//! Every byte is verified. The generator holds itself to account as well: an idle connection costs it as little as it
//! asks of a proxy (its streams have no buffers), and a [`Report`] says when it, and not the target, was the limit.

mod churn;
mod client;
mod clock;
mod course;
mod doubt;
mod download;
mod echo;
mod fault;
mod head;
mod http;
mod idle;
mod kept_alive;
mod lanes;
mod limits;
mod live;
mod message;
mod pace;
mod plan;
mod process;
mod render;
mod report;
mod run;
mod seat;
mod slow;
mod stats;
mod stream;
mod target;
mod tls;
mod tunnel;
mod upload;
mod verify;
mod warning;
mod watch;
mod ws;

pub use fault::{Fault, FaultKind, LoadError};
pub use live::{Glance, Live, Phase};
pub use plan::{Carrier, Greet, Plan, Resume, Trust, Unit, Until, Work};
pub use process::{Look, ProcessSample, command_name, sample_one, sample_tree};
pub use render::render;
pub use report::{Connections, Generator, Process, Rate, Report};
pub use run::Run;
pub use stats::{Seen, Spread};
pub use target::{Sources, Target};
pub use warning::{Limit, Warning};
