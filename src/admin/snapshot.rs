//! A heap snapshot of the running proxy.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::AdminState;
use super::problem::problem;
use crate::observe::snapshot::{Census, DETAILED, Mismatches, Overhead, Snapshot};

pub(super) async fn snapshot(State(state): State<AdminState>) -> Response {
    let turn = match state.dumps.snapshot.turn() {
        Ok(turn) => turn,
        Err(busy) => return busy.into_response(),
    };
    let start = Instant::now();
    let open = state.metrics.downstream_connections_open.get();
    let details = usize::try_from(open).is_ok_and(|open| open <= DETAILED);
    // Some milliseconds of the kernel's time, so not on the thread that answers scrapes; and before the rows take memory.
    let Ok(overhead) = spawn_blocking(Overhead::read).await else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the process cannot be looked at");
    };
    let workers = match state.workers.census(details).await {
        Ok(workers) => workers,
        Err(error) => return error.into_response(),
    };
    let rows = start.elapsed();
    let census = Census {
        workers,
        policy: state.policy.get().await,
        overhead,
        details,
    };
    let known = state.dumps.ids.load_full();
    let built = spawn_blocking(move || {
        let mut snapshot = Snapshot::of(census, &known);
        (snapshot.take_ids(), snapshot)
    });
    let Ok((ids, snapshot)) = built.await else {
        return problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the snapshot cannot be built; the log says why",
        );
    };
    state.dumps.ids.store(ids.into());
    report(snapshot.mismatches());
    tracing::info!(
        connections = open,
        rows_seconds = rows.as_secs_f64(),
        ready_seconds = start.elapsed().as_secs_f64(),
        memory_bytes = snapshot.memory(),
        "a heap snapshot is ready"
    );
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    turn.respond(&format!("headpin-{seconds}.heapsnapshot"), Box::new(snapshot))
}

fn report(mismatches: Mismatches) {
    let Mismatches {
        unexplained,
        late,
        gone,
    } = mismatches;
    if unexplained > 0 {
        tracing::error!(
            unexplained,
            "slabs of the heap snapshot have no holder in it: a fault of headpin, please report it"
        );
    }
    if late + gone > 0 {
        tracing::info!(late, gone, "holders came or went while the heap snapshot was taken");
    }
}
