//! `/api/memory`: the resident set by parts, kernel memory, the usage trend.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::AdminState;
use super::json::Json;
use super::problem::problem;
use crate::observe::labels::MemoryPart;
use crate::observe::memory::{Composition, SlabBytes, SocketMemory, TcpMemory};

/// What can be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryQuery {
    /// Also ask the kernel for the memory of this process's sockets.
    #[serde(default)]
    sockets: bool,
    /// Divide.
    per: Option<Per>,
}

/// What every figure in bytes is divided by.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Per {
    /// The open connections from clients.
    Connection,
}

pub(super) async fn memory(
    State(state): State<AdminState>,
    query: Result<Query<MemoryQuery>, QueryRejection>,
) -> Result<Json<Value>, Response> {
    let Query(query) = query.map_err(|error| {
        let said = error.body_text();
        let accepted = "accepted: ?sockets=true, ?per=connection, or both with &";
        problem(StatusCode::BAD_REQUEST, format!("{said}; {accepted}"))
    })?;
    let sockets = if query.sockets {
        Some(sockets(&state).await?)
    } else {
        None
    };
    let mut report = report(&state, sockets);
    if let Some(Per::Connection) = query.per {
        let open = report["connections"]["downstream"].as_f64().unwrap_or(0.0);
        if open < 1.0 {
            return Err(problem(
                StatusCode::CONFLICT,
                "no connection is open to divide by; ask without ?per=connection",
            ));
        }
        divide(&mut report, open, false);
    }
    Ok(Json(report))
}

/// The answer, which is also what the live page shows.
pub(super) fn report(state: &AdminState, sockets: Option<SocketMemory>) -> Value {
    let metrics = &state.metrics;
    let composition = Composition::read(metrics, &state.ledgers);
    let parts: Option<Map<String, Value>> = composition.as_ref().map(|composition| {
        let parts = MemoryPart::ALL.iter();
        parts
            .map(|part| (part.to_string(), composition.part(*part).into()))
            .collect()
    });
    let tcp = TcpMemory::read();
    json!({
        "resident_bytes": composition.as_ref().map(|composition| composition.resident_bytes),
        "parts": parts,
        "slabs": SlabBytes::read(metrics),
        "allocator": composition.and_then(|composition| composition.allocator),
        "connections": {
            "downstream": metrics.downstream_connections_open.get(),
            "tunnels": metrics.tunnels_open.get(),
        },
        "kernel": {
            "tcp_memory_bytes": tcp.map(|tcp| tcp.tcp_memory_bytes),
            "tcp_sockets": tcp.map(|tcp| tcp.tcp_sockets),
            "sockets": sockets,
        },
        "trend": state.trend.report(),
    })
}

/// Divides every figure in bytes: those whose name says so, and all of `parts` and `allocator`.
fn divide(value: &mut Value, by: f64, is_bytes: bool) {
    match value {
        Value::Number(number) if is_bytes => *value = number.as_f64().map(|bytes| bytes / by).into(),
        Value::Object(fields) => {
            for (name, value) in fields {
                let inside = matches!(name.as_str(), "parts" | "allocator" | "bytes") || name.ends_with("_bytes");
                divide(value, by, is_bytes || inside);
            }
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_divided_and_nothing_else_is() {
        let mut value = json!({
            "parts": { "tls": 10 },
            "allocator": null,
            "trend": { "ratio": 0.5, "samples": 8, "min": { "bytes": 6.0, "unix_seconds": 7.0 }, "base_bytes": 4 },
        });
        divide(&mut value, 4.0, false);
        let divided = json!({
            "parts": { "tls": 2.5 },
            "allocator": null,
            "trend": { "ratio": 0.5, "samples": 8, "min": { "bytes": 1.5, "unix_seconds": 7.0 }, "base_bytes": 1.0 },
        });
        assert_eq!(value, divided);
    }
}
