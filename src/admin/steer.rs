//! Changing: policy, config, life.

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
use crate::control::{LifePhase, NoWorkers, ReloadError};
use crate::observe::labels::HeadPolicy;

/// The maximum that a body may have; those that mean something are far smaller.
pub(super) const MAX_BODY_BYTES: usize = 4096;
/// For error messages.
const ACCEPTED: &str = r#"the body must be {"head_policy": "copy"} or {"head_policy": "pin"}"#;

/// What `PUT /api/head_policy` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    head_policy: String,
}

pub(super) async fn head_policy(State(state): State<AdminState>) -> Response {
    Json(json!({ "head_policy": state.policy.get().await })).into_response()
}

pub(super) async fn set_head_policy(State(state): State<AdminState>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unreadable(&rejection, ACCEPTED),
    };
    let wanted = serde_json::from_slice::<Wanted>(&body).map_err(|error| error.to_string());
    let policy = wanted.and_then(|wanted| wanted.head_policy.parse::<HeadPolicy>().map_err(|e| e.to_string()));
    match policy {
        Ok(policy) => match state.policy.set(policy).await {
            Ok(released) => Json(json!({ "head_policy": policy, "released_heads": released })).into_response(),
            Err(error) => error.into_response(),
        },
        Err(why) => problem(StatusCode::BAD_REQUEST, format!("{why}; {ACCEPTED}")),
    }
}

/// The body is too large, or broke off.
pub(super) fn unreadable(rejection: &BytesRejection, accepted: &str) -> Response {
    let status = rejection.status();
    let why = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body is larger than {MAX_BODY_BYTES} bytes"),
        _ => rejection.body_text(),
    };
    problem(status, format!("{why}; {accepted}"))
}

pub(super) async fn reload(State(state): State<AdminState>) -> Response {
    match state.reloader.reload().await {
        Ok(reloaded) => Json(reloaded).into_response(),
        Err(ReloadError::NoWorkers(error)) => NoWorkers::into_response(error),
        Err(error @ ReloadError::NoFile) => problem(StatusCode::CONFLICT, error.to_string()),
        Err(error) => problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    }
}

pub(super) async fn drain(State(state): State<AdminState>) -> Response {
    state.life.enter(LifePhase::Draining);
    state.metrics.draining.set(1);
    (StatusCode::ACCEPTED, Json(json!({ "draining": true }))).into_response()
}
