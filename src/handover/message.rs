//! What the two processes say to each other.
//!
//! [`Hello`] and [`Answer`] are the same in every version. What follows is of the version of the format that both know:
//! there is one, 1.

use std::net::SocketAddr;
use std::time::Duration;

use headpin_tls::TicketKeysState;
use serde::{Deserialize, Serialize};

use crate::handed::State;

/// Versions of the format that this program speaks, the newest first.
pub(super) const FORMATS: &[u16] = &[1];

/// What the first message begins with.
pub(super) const GREETING: &str = "headpin hand-over";

/// Why something stays: rustls has its keys.
pub const TLS_1_2: &str = "TLS 1.2, whose keys cannot be handed over";
/// Why something is missing: the predecessor died, or gave up.
pub const BROKE: &str = "the hand-over broke";

/// The first message, from who comes to a running headpin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Who speaks of something else is told so.
    pub greeting: String,
    /// The version of the program.
    pub version: String,
    /// Versions of the format that it knows.
    pub formats: Vec<u16>,
    /// What it comes for.
    pub wants: Wants,
}

/// What somebody comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wants {
    /// To be the successor.
    Everything,
    /// That a successor is started.
    Upgrade,
}

impl Hello {
    /// Of this program.
    #[must_use]
    pub fn new(wants: Wants) -> Self {
        Self {
            greeting: GREETING.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: FORMATS.to_vec(),
            wants,
        }
    }

    /// The version of the format for both; why there is none, otherwise.
    pub(super) fn format(&self) -> Result<u16, String> {
        if self.greeting != GREETING {
            return Err("who came does not speak of a hand-over".to_owned());
        }
        let common = FORMATS.iter().find(|format| self.formats.contains(format));
        common.copied().ok_or_else(|| {
            format!(
                "headpin {} knows versions {:?} of the hand-over's format, and headpin {}, which runs, knows {FORMATS:?}",
                self.version,
                self.formats,
                env!("CARGO_PKG_VERSION")
            )
        })
    }
}

/// What a [`Hello`] is answered with.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Come in.
    Welcome {
        /// The version of the format that is spoken.
        format: u16,
        /// The version of the program that runs.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// Nothing has changed, and why.
    Refused(String),
    /// There is a successor.
    Upgraded(Summary),
}

/// What came of a hand-over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The successor's process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Tunnels that went.
    pub tunnels: u64,
    /// Connections without a request that went.
    pub connections: u64,
    /// What could not go, and stays with the predecessor until it ends: how many, and why.
    pub left: Vec<(String, u64)>,
    /// From when the predecessor stopped accepting until everything that could go had gone.
    pub took: Duration,
    /// The longest time in which no process looked after a tunnel or connection.
    pub longest_pause: Duration,
}

/// A place where clients come to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listening {
    /// As the config has it.
    pub(super) configured: SocketAddr,
    /// Where it really is, if the config leaves the port open.
    pub(super) bound: SocketAddr,
}

/// A connection or tunnel on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// When it left, see [`crate::handed::now`].
    pub(super) left: Duration,
    pub(super) state: State,
}

/// From the predecessor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToSuccessor {
    /// Sockets that clients come to, some of them.
    Proxy(Listening),
    /// The socket of the admin endpoints.
    Admin(Listening),
    /// What tickets are sealed with, if the config does not say that.
    TicketKeys(TicketKeysState),
    /// That were all sockets that are listened on.
    Listening {
        /// Sockets of connections and tunnels, about.
        sockets: u64,
    },
    /// Nothing is accepted here any more.
    Go {
        /// Every id that was given is below this one.
        after: u64,
        /// Tunnels that there are.
        tunnels: u64,
    },
    /// They leave.
    Items(Vec<Item>),
    /// What could go has gone, but for what is in a request; this could not.
    Done(Vec<(String, u64)>),
}

/// From the successor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToPredecessor {
    /// Nothing can go wrong any more.
    Ready,
    /// Something has gone wrong.
    Failed(String),
    /// Items are its own now, but for those with a reason why it cannot go on with them.
    Taken(Vec<Option<String>>),
    /// The answer to done.
    Finished(Summary),
}
