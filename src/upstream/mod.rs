//! Connections to the servers behind the proxy.

mod balance;
mod budget;
mod dial;
mod eyeballs;
mod group;
mod heads;
mod health;
mod pace;
mod pool;
mod report;
mod resolve;
mod roots;
mod server;
mod slices;
mod socket;
mod state;
mod stream;

pub use balance::{Plan, ServerSet};
pub use dial::{DialError, Dialer};
pub use group::{LoadContext, Upstream};
pub use heads::HeadForm;
pub use health::check_servers;
pub use pace::ReadPace;
pub use pool::{Checkout, MAX_BUFFER, Pools, RequestBody, Sender};
pub use report::{ServerReport, UpstreamReport};
pub use resolve::resolve_names;
pub use roots::{RootsError, check_files};
pub use server::{Endpoint, InTunnel, InUse, Server};
pub use slices::UpstreamSlices;
pub use socket::Socket;
pub(crate) use state::causes;
pub use state::{Failure, ServerState};
pub use stream::UpstreamStream;
