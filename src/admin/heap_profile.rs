//! Where the live memory was allocated, as the allocator has sampled it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::task::spawn_blocking;

use super::AdminState;
use super::problem::problem;
use crate::observe::memory::{self, ProfileError};

pub(super) async fn heap_profile(State(state): State<AdminState>) -> Response {
    let turn = match state.dumps.heap_profile.turn() {
        Ok(turn) => turn,
        Err(busy) => return busy.into_response(),
    };
    match spawn_blocking(memory::heap_profile).await {
        Ok(Ok(profile)) => turn.respond("heap.pb.gz", Box::new(std::iter::once(profile))),
        Ok(Err(error @ (ProfileError::Off | ProfileError::NotBuilt))) => {
            problem(StatusCode::NOT_FOUND, error.to_string())
        }
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "making the heap profile panicked; the log says why",
        ),
    }
}
