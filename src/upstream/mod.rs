//! Connections to the servers behind the proxy.

mod balance;
mod dial;
mod eyeballs;
mod group;
mod heads;
mod pace;
mod pool;
mod roots;
mod slices;
mod stream;

pub use balance::Server;
pub use dial::{DialError, Dialer};
pub use group::Upstream;
pub use heads::HeadForm;
pub use pace::ReadPace;
pub use pool::{DialingConnector, MAX_BUFFER, PooledClient, PooledConnection, RequestBody};
pub use roots::RootsError;
pub use slices::UpstreamSlices;
pub use stream::UpstreamStream;
