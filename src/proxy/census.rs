//! What a worker tells about its slabs and connections when it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;

use headpin_slab::{HeldHead, SlabId, SlabReport};
use serde::Serialize;

use super::registry::{ConnectionRecord, Phase, Traffic};
use super::worker::WorkerContext;

/// A worker's slabs and connections. With more connections than a page has, they are of several moments: who came or left
/// in between may be missing.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerCensus {
    /// Every live slab, spares left out.
    pub slabs: Vec<SlabReport>,
    /// Live slabs kept for the next one.
    pub spares: usize,
    /// Every connection.
    pub connections: Vec<ConnectionReport>,
}

/// One connection at the moment of asking.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionReport {
    /// Its name; never used again.
    pub id: u64,
    /// The worker that it lives on.
    pub worker: usize,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it stands.
    pub phase: Phase,
    /// Seconds since it was accepted.
    pub age_seconds: f64,
    /// Path of the upgrade request; empty if it is no tunnel.
    pub path: String,
    /// Seconds since bytes last moved, to the second; 0 if it is no tunnel.
    pub idle_seconds: u32,
    /// Bytes relayed to the upstream.
    pub to_upstream_bytes: u64,
    /// Frames relayed to the upstream.
    pub to_upstream_frames: u64,
    /// Bytes relayed to the client.
    pub to_downstream_bytes: u64,
    /// Frames relayed to the client.
    pub to_downstream_frames: u64,
    /// The heads that it holds.
    pub heads: Vec<HeadReport>,
    /// The slab of the slice that its HTTP stream remembers, if it does.
    pub last_slice: Option<SlabId>,
    /// Its id in heap snapshots, once there was one with it; filled in by whoever keeps those ids.
    pub snapshot_id: Option<u32>,
}

/// A held head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadReport {
    /// `downstream` or `upstream`: who sent it.
    pub side: &'static str,
    /// The slab that it keeps.
    pub slab: SlabId,
    /// Its length.
    pub bytes: usize,
    /// Length of the slice that it was cut from.
    pub slice_bytes: usize,
}

/// An answer to `Command::Census`.
#[derive(Debug)]
pub struct CensusPage {
    /// Connections, by id.
    pub(super) connections: Vec<ConnectionReport>,
    /// With the last of them: every live slab, and how many are spares.
    pub(super) slabs: Option<(Vec<SlabReport>, usize)>,
}

impl CensusPage {
    /// At most `most` connections with an id above `after`.
    pub(super) fn of(worker: &WorkerContext, after: u64, most: usize) -> Self {
        let mut connections = Vec::with_capacity(most.min(worker.registry.len()));
        let more = worker.registry.page(after, most, |record| {
            connections.push(ConnectionReport::new(worker, record));
        });
        Self {
            connections,
            slabs: (!more).then(|| (worker.slabs.census(), worker.slabs.spares())),
        }
    }
}

impl WorkerCensus {
    /// Puts together what came in pages.
    pub(super) fn new(connections: Vec<ConnectionReport>, mut slabs: Vec<SlabReport>, spares: usize) -> Self {
        let mut pins: HashMap<SlabId, Vec<u64>> = HashMap::new();
        for connection in &connections {
            for head in &connection.heads {
                let ids = pins.entry(head.slab).or_default();
                if ids.last() != Some(&connection.id) {
                    ids.push(connection.id);
                }
            }
        }
        for slab in &mut slabs {
            slab.pinned_by = pins.remove(&slab.id).unwrap_or_default();
        }
        Self {
            slabs,
            spares,
            connections,
        }
    }
}

impl ConnectionReport {
    fn new(worker: &WorkerContext, record: &ConnectionRecord) -> Self {
        let heads = record.heads.borrow();
        let sides = heads
            .iter()
            .flat_map(|heads| [("downstream", &heads.downstream), ("upstream", &heads.upstream)]);
        let Traffic {
            bytes: up_bytes,
            frames: up_frames,
        } = &record.to_upstream;
        let Traffic {
            bytes: down_bytes,
            frames: down_frames,
        } = &record.to_downstream;
        let is_tunnel = record.phase.get() == Phase::Tunnel;
        Self {
            id: record.id,
            worker: worker.index,
            peer: record.peer,
            phase: record.phase.get(),
            age_seconds: record.since.elapsed().as_secs_f64(),
            path: record.path().to_owned(),
            idle_seconds: if is_tunnel {
                worker.tick.get() - record.active.get()
            } else {
                0
            },
            to_upstream_bytes: up_bytes.get(),
            to_upstream_frames: up_frames.get(),
            to_downstream_bytes: down_bytes.get(),
            to_downstream_frames: down_frames.get(),
            heads: sides
                .filter_map(|(side, head)| head.as_ref().map(|head| HeadReport::new(side, head)))
                .collect(),
            last_slice: record.last_slice().map(|place| place.slab),
            snapshot_id: None,
        }
    }
}

impl HeadReport {
    fn new(side: &'static str, head: &HeldHead) -> Self {
        Self {
            side,
            slab: head.slab_id(),
            bytes: head.bytes().len(),
            slice_bytes: head.slice().len,
        }
    }
}
