//! Connections to the servers behind the proxy.

mod balance;
mod dial;
mod pace;
mod pool;
mod roots;
mod stream;

pub use dial::{DialError, Dialer};
pub use pace::ReadPace;
pub use pool::{DialingConnector, PooledClient, PooledConnection, pooled_client};
pub use roots::{RootsError, client_config};
pub use stream::UpstreamStream;
