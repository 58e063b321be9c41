//! What a census holds: plain rows, without names, ids or text.

use std::net::SocketAddr;

use headpin_slab::{SlabClass, SlabReport, SlicePlace};
use serde::Serialize;

/// A worker's connections and slabs.
///
/// The slabs are those of the moment when the last connections were listed. If that took several polls, a head may by
/// then have gone with its slab, or have come to a connection that was listed without it.
#[derive(Debug)]
pub struct WorkerRows {
    /// Which worker, from 0.
    pub index: usize,
    /// Its connections and tunnels, by id.
    pub connections: Vec<ConnectionRow>,
    /// Its slabs and all else that there is one of a worker.
    pub rest: WorkerRest,
    /// Polls that the listing took.
    pub pages: usize,
}

/// What there is one of a worker.
#[derive(Debug)]
pub struct WorkerRest {
    /// Live slabs with a name.
    pub slabs: Vec<SlabReport>,
    /// A pool's slabs in all, by class.
    pub pools: Vec<PoolRow>,
    /// Slices that upstream connections remember while they speak HTTP.
    pub upstream_slices: Vec<SlicePlace>,
    /// How large its objects are.
    pub sizes: Sizes,
}

impl WorkerRest {
    /// Slabs whose memory is kept for the next one.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.pools.iter().map(|pool| pool.spares).sum()
    }
}

/// One pool.
#[derive(Debug)]
pub struct PoolRow {
    /// Which class it serves.
    pub class: SlabClass,
    /// Size of each slab, in bytes.
    pub capacity: usize,
    /// Slabs kept for the next one.
    pub spares: usize,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// TLS is being negotiated.
    Handshake,
    /// It speaks HTTP.
    Http,
    /// It is a tunnel.
    Tunnel,
}

/// A connection that is no tunnel, or a tunnel.
#[derive(Debug, Clone)]
pub struct ConnectionRow {
    /// Its name in the proxy; never used again.
    pub id: u64,
    /// The worker that it lives on.
    pub worker: usize,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it stands.
    pub phase: Phase,
    /// A tunnel with an order to close or to end.
    pub is_closing: bool,
    /// Seconds since it was accepted.
    pub age_seconds: f64,
    /// Seconds since bytes last moved, to the second; 0 if it is no tunnel.
    pub idle_seconds: u32,
    /// What came of the TLS handshake, once that is done.
    pub tls: Option<TlsRow>,
    /// Path of the upgrade request; empty if it is no tunnel or nobody asked for it.
    pub path: Box<str>,
    /// Memory of its own beyond [`Sizes`], in bytes.
    pub own_bytes: u32,
    /// The same of its TLS session.
    pub tls_bytes: u32,
    /// What it has relayed to the upstream, and to the client.
    pub relayed: [TrafficRow; 2],
    /// Bytes of that which the writing side has not taken yet.
    pub pending: [u32; 2],
    /// The head that the client sent, if it is held.
    pub head: Option<HeadRow>,
    /// The head that the upstream sent, if it is held.
    pub upstream_head: Option<HeadRow>,
    /// The slice that its HTTP stream remembers.
    pub last_slice: Option<SlicePlace>,
}

impl ConnectionRow {
    /// Whether it is a tunnel.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.phase == Phase::Tunnel
    }

    /// The heads that it holds, each with the side that sent it.
    pub fn heads(&self) -> impl Iterator<Item = (&'static str, &HeadRow)> {
        let sides = [("downstream", &self.head), ("upstream", &self.upstream_head)];
        sides
            .into_iter()
            .filter_map(|(side, head)| Some((side, head.as_ref()?)))
    }
}

/// What one direction of a tunnel has relayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficRow {
    /// Bytes.
    pub bytes: u64,
    /// Frames.
    pub frames: u64,
}

/// A TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsRow {
    /// As `TLSv1_3`.
    pub version: &'static str,
    /// As `TLS13_AES_128_GCM_SHA256`.
    pub suite: &'static str,
}

/// A held head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRow {
    /// The slice that it was cut from.
    pub slice: SlicePlace,
    /// Its own length.
    pub bytes: usize,
}

/// Sizes in bytes of what there is many of. No byte is in two of them: what is inlined in another object's allocation is
/// taken from that one's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The worker's own state and its buffers.
    pub worker: usize,
    /// The registry, without connections.
    pub registry: usize,
    /// The registry's share for each connection.
    pub registry_entry: usize,
    /// A pool.
    pub pool: usize,
    /// A tunnel's task and record, less what follows.
    pub tunnel: usize,
    /// The task and record of a connection that is no tunnel.
    pub http: usize,
    /// A TLS session.
    pub tls: usize,
    /// One direction of a tunnel.
    pub relay: usize,
    /// A held head without its slice.
    pub head: usize,
    /// A slice: its handle, not the bytes it points to.
    pub slice: usize,
    /// The worker's entry for an upstream connection.
    pub upstream: usize,
}
