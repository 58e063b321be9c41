//! Looking: metrics, slabs, connections, memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AdminState;
use super::routes::problem;
use crate::memory::{self, AllocatorNumbers, SocketMemory, TcpMemory};
use crate::proxy::{ConnectionReport, NoWorkers, WorkerCensus};
use crate::slab::SlabReport;

pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    memory::refresh(&state.metrics, &state.trend);
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
    let connections: Vec<ConnectionReport> = census(&state).await?.flat_map(|worker| worker.connections).collect();
    Ok(Json(json!({ "connections": connections })))
}

/// What to add to `/api/memory`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryQuery {
    /// Also ask the kernel for the memory of this process's sockets.
    #[serde(default)]
    sockets: bool,
}

pub(super) async fn memory(
    State(state): State<AdminState>,
    query: Result<Query<MemoryQuery>, QueryRejection>,
) -> Result<Json<Value>, Response> {
    let Query(query) = query.map_err(|error| {
        let said = error.body_text();
        problem(StatusCode::BAD_REQUEST, format!("{said}; accepted: ?sockets=true"))
    })?;
    let sockets = if query.sockets {
        Some(sockets(&state).await?)
    } else {
        None
    };
    let tcp = TcpMemory::read();
    Ok(Json(json!({
        "resident_bytes": memory::resident_bytes(),
        "allocator": AllocatorNumbers::read(),
        "kernel": {
            "tcp_memory_bytes": tcp.map(|tcp| tcp.tcp_memory_bytes),
            "tcp_sockets": tcp.map(|tcp| tcp.tcp_sockets),
            "sockets": sockets,
        },
        "trend": state.trend.report(),
    })))
}

/// Asks for the sockets' memory on a thread of its own, as it takes long with many sockets; one request at a time.
async fn sockets(state: &AdminState) -> Result<SocketMemory, Response> {
    let turn = Arc::clone(&state.asking_for_sockets).lock_owned().await;
    let asked = tokio::task::spawn_blocking(move || {
        let answer = SocketMemory::read();
        // Not before: a client that leaves does not end what it asked for.
        drop(turn);
        answer
    });
    let answer = asked.await.map_err(std::io::Error::other).flatten();
    answer.map_err(|error| {
        problem(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the kernel does not tell the memory of sockets: {error}; ask without ?sockets=true"),
        )
    })
}

async fn census(state: &AdminState) -> Result<impl Iterator<Item = WorkerCensus>, NoWorkers> {
    Ok(state.workers.census().await?.into_iter())
}

impl IntoResponse for NoWorkers {
    fn into_response(self) -> Response {
        problem(StatusCode::SERVICE_UNAVAILABLE, self.to_string())
    }
}
