//! Looking: metrics, slabs, connections.

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use headpin_slab::{SlabId, SlabReport};
use prometheus::TextEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use super::AdminState;
use super::json::Json;
use super::problem::problem;
use crate::control::NoWorkers;
use crate::observe::census::{ConnectionRow, Phase, WorkerRows};
use crate::observe::memory;

pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    memory::refresh(&state.metrics, &state.trend, &state.ledgers);
    match TextEncoder::new().encode_to_string(&state.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// A slab in `/api/slabs`.
#[derive(Serialize)]
struct Slab {
    #[serde(flatten)]
    slab: SlabReport,
    /// The connections that hold heads in it.
    pinned_by: Vec<u64>,
    /// Its id in heap snapshots, once there was one with it.
    snapshot_id: Option<u32>,
}

pub(super) async fn slabs(State(state): State<AdminState>) -> Result<Json<Value>, NoWorkers> {
    let ids = state.dumps.ids.load();
    let (mut spares, mut slabs) = (0, Vec::new());
    for worker in state.workers.census(false).await? {
        spares += worker.rest.spares();
        let mut holders = holders(&worker);
        slabs.extend(worker.rest.slabs.into_iter().map(|slab| Slab {
            pinned_by: holders.remove(&slab.id).unwrap_or_default(),
            snapshot_id: ids.slab(slab.id),
            slab,
        }));
    }
    let pinned = slabs.iter().map(|each| &each.slab).filter(|slab| slab.is_pinned());
    let pinned_bytes: usize = pinned.clone().map(|slab| slab.capacity_bytes).sum();
    let head_bytes: usize = pinned.map(|slab| slab.head_bytes).sum();
    // Without a byte of head there is nothing to divide by: an amplification without bound.
    let amplification = (head_bytes > 0).then(|| pinned_bytes as f64 / head_bytes as f64);
    Ok(Json(json!({
        "pinned_bytes": pinned_bytes,
        "pinning_head_bytes": head_bytes,
        "amplification": amplification,
        "spares": spares,
        "slabs": slabs,
    })))
}

/// From a slab to the connections that hold heads in it.
fn holders(worker: &WorkerRows) -> HashMap<SlabId, Vec<u64>> {
    let mut holders: HashMap<SlabId, Vec<u64>> = HashMap::new();
    for row in &worker.connections {
        for (_, head) in row.heads() {
            let ids = holders.entry(head.slice.slab).or_default();
            if ids.last() != Some(&row.id) {
                ids.push(row.id);
            }
        }
    }
    holders
}

/// A connection or a tunnel in `/api/connections`.
#[derive(Serialize)]
struct Connection<'a> {
    id: u64,
    worker: usize,
    peer: SocketAddr,
    phase: Phase,
    age_seconds: f64,
    path: &'a str,
    idle_seconds: u32,
    to_upstream_bytes: u64,
    to_upstream_frames: u64,
    to_downstream_bytes: u64,
    to_downstream_frames: u64,
    heads: Vec<Head>,
    /// The slab of the slice that its HTTP stream remembers, if it does.
    last_slice: Option<SlabId>,
    /// Its id in heap snapshots, once there was one with it.
    snapshot_id: Option<u32>,
}

/// A held head.
#[derive(Serialize)]
struct Head {
    /// Who sent it.
    side: &'static str,
    /// What it keeps.
    slab: SlabId,
    bytes: usize,
    slice_bytes: usize,
}

impl<'a> Connection<'a> {
    fn new(row: &'a ConnectionRow, snapshot_id: Option<u32>) -> Self {
        let [up, down] = row.relayed;
        Self {
            id: row.id,
            worker: row.worker,
            peer: row.peer,
            phase: row.phase,
            age_seconds: row.age_seconds,
            path: &row.path,
            idle_seconds: row.idle_seconds,
            to_upstream_bytes: up.bytes,
            to_upstream_frames: up.frames,
            to_downstream_bytes: down.bytes,
            to_downstream_frames: down.frames,
            heads: row
                .heads()
                .map(|(side, head)| Head {
                    side,
                    slab: head.slice.slab,
                    bytes: head.bytes,
                    slice_bytes: head.slice.len,
                })
                .collect(),
            last_slice: row.last_slice.map(|place| place.slab),
            snapshot_id,
        }
    }
}

pub(super) async fn connections(State(state): State<AdminState>) -> Result<Json<Value>, NoWorkers> {
    let workers = state.workers.census(true).await?;
    let ids = state.dumps.ids.load();
    let rows = workers.iter().flat_map(|worker| &worker.connections);
    let connections: Vec<_> = rows
        .map(|row| Connection::new(row, ids.connection(row.id, row.is_tunnel())))
        .collect();
    Ok(Json(json!({ "connections": connections })))
}

impl IntoResponse for NoWorkers {
    fn into_response(self) -> Response {
        problem(StatusCode::SERVICE_UNAVAILABLE, self.to_string())
    }
}
