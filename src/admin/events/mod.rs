//! `GET /api/events`: what the live page shows, as server-sent events (WHATWG HTML section 9.2).
//!
//! ```text
//! workers ──census, once a second──► Picture ──one frame──► viewer's queue ──► connection
//! upstreams ──reports──────────────► Servers            └──► viewer's queue ──► connection
//!                                    (what was sent)
//! ```
//!
//! One producer serves all viewers, and asks workers only while there is one. Each second it sends one `picture` event:
//! the figures in full, slabs, connections and upstreams as difference to the last; to whoever has just come, all of them. The
//! frame is made once and shared. A viewer that does not keep up for [`FRAMES_BEHIND`] frames is dropped, and gets the
//! whole picture when it comes again.

mod frame;
mod picture;
mod produce;
mod servers;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::problem::problem;

pub(super) use produce::produce;

/// Viewers at once. Each costs a connection, and the difference of a frame per second.
const MAX_VIEWERS: usize = 16;
/// Frames, hence seconds, that a viewer may be behind.
const FRAMES_BEHIND: usize = 30;

/// Where viewers come in.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    seats: Arc<Semaphore>,
    door: mpsc::Sender<Viewer>,
}

/// Who has come in, to be served by [`produce`].
#[derive(Debug)]
pub(super) struct Viewer {
    frames: mpsc::Sender<Bytes>,
    _seat: OwnedSemaphorePermit,
}

/// The entrance, and where the producer finds who came in.
pub(super) fn entrance() -> (Entrance, mpsc::Receiver<Viewer>) {
    let (door, coming) = mpsc::channel(MAX_VIEWERS);
    let seats = Arc::new(Semaphore::new(MAX_VIEWERS));
    (Entrance { seats, door }, coming)
}

/// Answers with a stream that ends when the workers have ended or the viewer is too far behind.
pub(super) async fn events(State(entrance): State<Entrance>) -> Response {
    let Ok(seat) = Arc::clone(&entrance.seats).try_acquire_owned() else {
        let why =
            format!("{MAX_VIEWERS} viewers follow the events already; close a page, or ask /api/slabs and others");
        return (
            [(header::RETRY_AFTER, "5")],
            problem(StatusCode::SERVICE_UNAVAILABLE, why),
        )
            .into_response();
    };
    let (frames, receiver) = mpsc::channel(FRAMES_BEHIND);
    // As many fit as there are seats; the producer is gone only with the server.
    if entrance.door.try_send(Viewer { frames, _seat: seat }).is_err() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the proxy is ending");
    }
    let frames = stream::unfold(receiver, async |mut receiver| {
        let frame = receiver.recv().await?;
        Some((Ok::<_, Infallible>(frame), receiver))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response()
}
