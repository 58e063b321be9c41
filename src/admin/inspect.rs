//! Looking: metrics, slabs, connections.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use headpin_slab::SlabReport;
use prometheus::TextEncoder;
use serde_json::{Value, json};

use super::AdminState;
use super::json::Json;
use super::problem::problem;
use crate::memory;
use crate::proxy::{ConnectionReport, NoWorkers, Phase, WorkerCensus};

pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    memory::refresh(&state.metrics, &state.trend, &state.ledgers);
    match TextEncoder::new().encode_to_string(&state.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

pub(super) async fn slabs(State(state): State<AdminState>) -> Result<Json<Value>, NoWorkers> {
    let mut spares = 0;
    let mut slabs: Vec<SlabReport> = Vec::new();
    for worker in census(&state).await? {
        spares += worker.spares;
        slabs.extend(worker.slabs);
    }
    let ids = state.dumps.ids.load();
    for slab in &mut slabs {
        slab.snapshot_id = ids.slab(slab.id);
    }
    let pinned = slabs.iter().filter(|slab| slab.is_pinned());
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

pub(super) async fn connections(State(state): State<AdminState>) -> Result<Json<Value>, NoWorkers> {
    let mut connections: Vec<ConnectionReport> = census(&state).await?.flat_map(|worker| worker.connections).collect();
    let ids = state.dumps.ids.load();
    for connection in &mut connections {
        connection.snapshot_id = ids.connection(connection.id, connection.phase == Phase::Tunnel);
    }
    Ok(Json(json!({ "connections": connections })))
}

async fn census(state: &AdminState) -> Result<impl Iterator<Item = WorkerCensus>, NoWorkers> {
    Ok(state.workers.census().await?.into_iter())
}

impl IntoResponse for NoWorkers {
    fn into_response(self) -> Response {
        problem(StatusCode::SERVICE_UNAVAILABLE, self.to_string())
    }
}
