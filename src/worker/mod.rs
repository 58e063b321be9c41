//! What the connections and tunnels of one worker share, and what is known of each. Data only: threads and commands are in
//! `control`.

mod admission;
mod connection;
mod context;
mod departures;
mod identity;
mod mailbox;
mod registry;
mod settings;
mod tunnel;

pub use admission::{Admission, Admitted};
pub use connection::ConnectionRecord;
pub use context::{Accepting, WorkerContext};
pub use departures::{Departures, Going};
pub use identity::Identity;
pub use mailbox::{Mailbox, Order};
pub use registry::{Listed, ListedConnection, ListedTunnel, Registry};
pub use settings::{LoadError, Settings, Shared};
pub use tunnel::{Heads, Traffic, TunnelRecord, TunnelTarget};
