//! The servers of upstreams: how they are, and taking them out of turn.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::AdminState;
use super::json::Json;
use super::problem::problem;
use super::steer::unreadable;
use crate::upstream::UpstreamReport;

/// For error messages.
const ACCEPTED: &str = r#"the body must be {"upstream": "NAME", "server": "URL", "drain": true}, with a server as GET /api/upstreams has it"#;

/// What `PUT /api/upstreams` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    upstream: String,
    server: String,
    drain: bool,
}

/// What there is to tell of every upstream.
pub(super) fn reports(state: &AdminState) -> Vec<UpstreamReport> {
    let settings = state.shared.settings.load();
    settings.routes.upstreams().map(|upstream| upstream.report()).collect()
}

pub(super) async fn upstreams(State(state): State<AdminState>) -> Response {
    Json(json!({ "upstreams": reports(&state) })).into_response()
}

pub(super) async fn set_draining(State(state): State<AdminState>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unreadable(&rejection, ACCEPTED),
    };
    let wanted = match serde_json::from_slice::<Wanted>(&body) {
        Ok(wanted) => wanted,
        Err(error) => return problem(StatusCode::BAD_REQUEST, format!("{error}; {ACCEPTED}")),
    };
    let Wanted {
        upstream: name,
        server,
        drain,
    } = wanted;
    let settings = state.shared.settings.load();
    let Some(upstream) = settings.routes.upstream(&name) else {
        let known: Vec<&str> = settings.routes.upstreams().map(|upstream| &*upstream.name).collect();
        let text = format!("there is no upstream {name:?}; there are: {}", known.join(", "));
        return problem(StatusCode::NOT_FOUND, text);
    };
    let servers = upstream.set_draining(&server, drain);
    if servers == 0 {
        let known: Vec<String> = upstream
            .config
            .servers
            .iter()
            .map(|server| server.url.to_string())
            .collect();
        let text = format!(
            "upstream {name:?} has no server {server:?}; it has: {}",
            known.join(", ")
        );
        return problem(StatusCode::NOT_FOUND, text);
    }
    tracing::info!(
        upstream = name,
        server,
        drain,
        "an operator changed whether a server takes new requests"
    );
    Json(json!({ "upstream": name, "server": server, "drain": drain, "servers": servers })).into_response()
}
