//! What goes to another process: connections and tunnels, as data and sockets.
//!
//! The types that can be serialized are version 1 of the format: their fields stay as they are, and a test holds bytes of that
//! version against them. What has to change needs a new version beside this one, see [`crate::handover`].

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use headpin_tls::StreamState;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Who is at the other end, and since when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityState {
    /// Stays the same in the other process.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// Since it was accepted.
    pub age: Duration,
    /// Version and cipher suite by their numbers in TLS.
    pub tls: Option<(u16, u16)>,
}

/// A connection between two requests.
#[derive(Debug, Serialize, Deserialize)]
pub struct ConnectionState {
    /// Whose it is.
    pub identity: IdentityState,
    /// The port that it came to.
    pub port: u16,
    /// Whether a request has come.
    pub asked: bool,
    /// What has come of the next request is in it.
    pub stream: StreamState,
}

/// Where frames are cut.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FollowerState {
    /// The beginning of a header that was cut.
    pub header: Vec<u8>,
    /// Bytes that are missing of the payload of the current frame.
    pub payload_left: u64,
    /// What came was not frames.
    pub lost: bool,
    /// A Close frame has begun to pass.
    pub close_seen: bool,
}

/// A Close that headpin is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseState {
    /// None is asked for.
    No,
    /// With this code, at the next frame boundary.
    Wanted(u16),
    /// It is sent, or needs not be.
    Sent,
}

/// One direction of a tunnel.
#[derive(Debug, Serialize, Deserialize)]
pub struct RelayState {
    /// Where in a frame it is.
    pub follower: FollowerState,
    /// What waits to be written, in order.
    pub waiting: Vec<Vec<u8>>,
    /// Whether headpin closes.
    pub close: CloseState,
    /// Nothing more will be read.
    pub ended: bool,
    /// That was passed on.
    pub done: bool,
    /// Bytes relayed.
    pub bytes: u64,
    /// Frames relayed.
    pub frames: u64,
}

/// The upstream's side of a tunnel.
#[derive(Debug, Serialize, Deserialize)]
pub enum UpstreamState {
    /// Over TCP, in clear.
    Tcp,
    /// Over a unix socket.
    Unix,
    /// Over TCP, in TLS.
    Tls(Box<StreamState>),
}

/// What ends a tunnel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndState {
    /// The reason, by its label.
    pub reason: String,
    /// At once, and not by Close frames.
    pub at_once: bool,
}

/// A tunnel.
#[derive(Debug, Serialize, Deserialize)]
pub struct TunnelState {
    /// Whose it is.
    pub identity: IdentityState,
    /// Path of the upgrade request.
    pub path: String,
    /// Its route, by name.
    pub route: String,
    /// Its upstream, by name.
    pub upstream_name: String,
    /// Its server, by URL and, if its name has several addresses, by tag.
    pub server: (String, String),
    /// The client's side.
    pub downstream: StreamState,
    /// The other side.
    pub upstream: UpstreamState,
    /// To the upstream, and to the client.
    pub relays: [RelayState; 2],
    /// Seconds since something last moved.
    pub idle: u32,
    /// The order in force.
    pub order: Option<EndState>,
    /// What began the end, by its label.
    pub cause: Option<String>,
    /// Heads that are held: what the client sent behind its request, and the upstream behind its 101.
    pub heads: [Option<Vec<u8>>; 2],
}

/// What goes in one piece.
#[derive(Debug, Serialize, Deserialize)]
pub enum State {
    /// A tunnel, with both its sockets: the client's and the upstream's.
    Tunnel(Box<TunnelState>),
    /// A connection between two requests, with its socket.
    Connection(Box<ConnectionState>),
}

impl State {
    /// How many sockets belong to it.
    #[must_use]
    pub fn sockets(&self) -> usize {
        match self {
            Self::Tunnel(_) => 2,
            Self::Connection(_) => 1,
        }
    }

    /// Bytes of what waits in it, about: what makes it large.
    #[must_use]
    pub fn bulk(&self) -> usize {
        match self {
            Self::Connection(connection) => connection.stream.waiting(),
            Self::Tunnel(tunnel) => {
                let waiting = tunnel.relays.iter().flat_map(|relay| &relay.waiting).map(Vec::len);
                let heads = tunnel.heads.iter().flatten().map(Vec::len);
                let upstream = match &tunnel.upstream {
                    UpstreamState::Tls(stream) => stream.waiting(),
                    UpstreamState::Tcp | UpstreamState::Unix => 0,
                };
                waiting.chain(heads).sum::<usize>() + upstream + tunnel.downstream.waiting()
            }
        }
    }
}

/// A connection or tunnel that this process does not look after any more, and no other yet.
#[derive(Debug)]
pub struct Handed {
    /// All but its sockets.
    pub state: State,
    /// As many as [`State::sockets`] says.
    pub sockets: Vec<OwnedFd>,
    /// When its task let it go, by the clock that all processes share.
    pub left: Duration,
}

/// Why a tunnel or connection stays with this process until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stays {
    /// rustls has the keys of TLS 1.2, on either side, and keeps them. What has failed and is about to end says this as well.
    Tls12,
}

/// What a connection or tunnel says that was asked to leave.
#[derive(Debug)]
pub enum Departure {
    /// It leaves.
    Leaves(Handed),
    /// It stays.
    Stays(Stays),
    /// It has ended meanwhile.
    Ended,
}

/// Time since some moment in the past that is the same for every process of this machine (`CLOCK_MONOTONIC`).
#[must_use]
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel as version 1 of the format has it, in hexadecimal: written down once. Who has to change it makes a new version.
    const VERSION_1: &str = include_str!("handed/version_1.hex");

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn what_version_1_has_written_is_read_and_written_again() {
        let written = bytes(VERSION_1);
        let state: State = postcard::from_bytes(&written).unwrap();
        let State::Tunnel(tunnel) = &state else {
            panic!("{state:?}")
        };
        assert_eq!(
            (tunnel.identity.id, &tunnel.path[..], &tunnel.route[..]),
            (7, "/chat", "default")
        );
        assert_eq!(tunnel.identity.tls, Some((0x0304, 0x1301)));
        assert_eq!(tunnel.server.0, "https://app.internal");
        assert_eq!(tunnel.relays[0].close, CloseState::Wanted(1001));
        assert_eq!(tunnel.relays[1].waiting, [b"waits".to_vec(), b"too".to_vec()]);
        assert_eq!(tunnel.relays[1].follower.header, [0x82, 126]);
        assert_eq!(tunnel.order.as_ref().map(|order| &order.reason[..]), Some("route_gone"));
        assert_eq!(tunnel.heads, [Some(b"head".to_vec()), None]);
        assert!(matches!(tunnel.upstream, UpstreamState::Tls(_)));
        assert_eq!(state.bulk(), 5 + 3 + 4 + 2 * 3);
        assert_eq!(
            postcard::to_allocvec(&state).unwrap(),
            written,
            "fields stay as they are"
        );
    }
}
