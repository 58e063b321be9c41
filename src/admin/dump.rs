//! Large answers that take memory until they are read: one of a kind at a time, for a limited time.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::problem::problem;
use crate::observe::labels::DumpKind;
use crate::observe::metrics::Metrics;
use crate::observe::snapshot::Ids;

/// What can be asked for, and whether it is being read.
#[derive(Debug, Clone)]
pub struct Dumps {
    pub(super) snapshot: Kind,
    pub(super) heap_profile: Kind,
    /// What the objects of the last snapshot are called.
    pub(super) ids: Arc<ArcSwap<Ids>>,
}

impl Dumps {
    /// Of which each may be read for `limit`.
    #[must_use]
    pub fn new(limit: Duration, metrics: &Arc<Metrics>) -> Self {
        let tracker = TaskTracker::new();
        let kind = |kind| Kind {
            kind,
            metrics: Arc::clone(metrics),
            limit,
            only: Arc::new(Semaphore::new(1)),
            tracker: tracker.clone(),
        };
        Self {
            snapshot: kind(DumpKind::HeapSnapshot),
            heap_profile: kind(DumpKind::HeapProfile),
            ids: Arc::default(),
        }
    }
}

/// One kind of dump.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    kind: DumpKind,
    metrics: Arc<Metrics>,
    limit: Duration,
    only: Arc<Semaphore>,
    tracker: TaskTracker,
}

/// The right to make a dump; the next may ask when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    kind: DumpKind,
    metrics: Arc<Metrics>,
    start: Instant,
    deadline: Instant,
    tracker: TaskTracker,
    _permit: OwnedSemaphorePermit,
}

impl Kind {
    /// The turn, unless somebody else has it.
    pub(super) fn turn(&self) -> Result<Turn, Busy> {
        let permit = Arc::clone(&self.only).try_acquire_owned().map_err(|_| Busy {
            kind: self.kind,
            limit: self.limit,
        })?;
        let start = Instant::now();
        Ok(Turn {
            kind: self.kind,
            metrics: Arc::clone(&self.metrics),
            start,
            deadline: start + self.limit,
            tracker: self.tracker.clone(),
            _permit: permit,
        })
    }
}

/// Somebody else's dump is not done.
#[derive(Debug, thiserror::Error)]
#[error(
    "a {kind} is being made or read already, and there is one at a time; ask again when it is done, at the latest in \
     {limit:?} (admin.dump_timeout)"
)]
pub(super) struct Busy {
    kind: DumpKind,
    limit: Duration,
}

impl IntoResponse for Busy {
    fn into_response(self) -> Response {
        problem(StatusCode::CONFLICT, self.to_string())
    }
}

/// Makes a dump, piece by piece.
type Pieces = Box<dyn Iterator<Item = Vec<u8>> + Send>;

impl Turn {
    /// A response whose body are `pieces`, each made when it can be written.
    pub(super) fn respond(self, file_name: &str, pieces: Pieces) -> Response {
        let (kind, deadline, tracker) = (self.kind, self.deadline, self.tracker.clone());
        let held = Arc::new(Mutex::new(Some(Held {
            pieces,
            turn: self,
            bytes: 0,
        })));
        let read = CancellationToken::new();
        let body = DumpBody {
            held: Arc::clone(&held),
            complete: false,
            _read: read.clone().drop_guard(),
        };
        // The body is not polled while the client reads nothing.
        tracker.spawn(async move {
            let expired = read.run_until_cancelled(sleep_until(deadline)).await.is_some();
            if expired && let Some(held) = take(&held) {
                held.turn.metrics.dumps_abandoned_total[kind].inc();
                tracing::warn!(%kind, "a dump was not read in time and is given up; see admin.dump_timeout");
            }
        });
        let headers = [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{file_name}\""),
            ),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        (headers, Body::new(body)).into_response()
    }
}

/// What takes memory until a dump is read.
struct Held {
    pieces: Pieces,
    turn: Turn,
    /// Made so far.
    bytes: u64,
}

impl Held {
    fn next(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.next();
        self.bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        piece
    }

    fn complete(self) {
        let Turn {
            kind, metrics, start, ..
        } = self.turn;
        let seconds = start.elapsed().as_secs_f64();
        metrics.dumps_total[kind].inc();
        metrics.dump_bytes_total[kind].inc_by(self.bytes);
        metrics.dump_seconds.observe(seconds);
        tracing::info!(%kind, bytes = self.bytes, seconds, "a dump was read");
    }
}

fn take(held: &Mutex<Option<Held>>) -> Option<Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A dump on its way to the client.
struct DumpBody {
    held: Arc<Mutex<Option<Held>>>,
    complete: bool,
    _read: DropGuard,
}

impl http_body::Body for DumpBody {
    type Data = Bytes;
    type Error = io::Error;

    /// Fails when the time is over, so that the client does not take what it has for all.
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.complete {
            return Poll::Ready(None);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match &mut *held {
            Some(held) => held.next(),
            None => return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
        };
        if next.is_none() {
            let all = held.take();
            drop(held);
            self.complete = true;
            all.into_iter().for_each(Held::complete);
        }
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece.into()))))
    }
}

impl Drop for DumpBody {
    fn drop(&mut self) {
        if let Some(held) = take(&self.held) {
            let kind = held.turn.kind;
            held.turn.metrics.dumps_abandoned_total[kind].inc();
            tracing::info!(%kind, "a dump is given up: the client has left");
        }
    }
}

impl fmt::Debug for DumpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpBody")
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}
