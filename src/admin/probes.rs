//! Whether the process lives, and whether it wants traffic.

use axum::extract::State;
use axum::http::StatusCode;

use super::AdminState;
use crate::control::LifePhase;

pub(super) async fn live() -> &'static str {
    "alive\n"
}

pub(super) async fn ready(State(state): State<AdminState>) -> (StatusCode, &'static str) {
    match state.life.phase() {
        LifePhase::Running => (StatusCode::OK, "ready\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}
