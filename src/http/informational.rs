//! Informational responses (RFC 9110 section 15.2), such as 103 Early Hints (RFC 8297): from an upstream to the client.
//!
//! hyper's server writes one response to a request, and refuses 1xx. Its client tells of those that an upstream sends. So they
//! go past the server: their heads wait in a queue of the client's connection, and `HeadIo`, which is below the server, writes
//! them.
//!
//! ```text
//! the upstream's task:  hyper's client ─► callback ─► queue
//!                                                       │ wakes
//! the client's task:    hyper's server ─► HeadIo ◄──────┘
//! ```
//!
//! Three rules keep the order of what the client gets:
//!
//! 1. The queue is written in a flush. hyper flushes what is below it when its own buffer is empty: then all earlier responses
//!    are written. The rest of one may lie in that buffer when the next request is dispatched.
//! 2. A response waits until the queue is empty, and only then hyper gets it.
//! 3. What of the queue is written in part is written to its end before anything else.
//!
//! 100 does not pass here: hyper's server writes it, when the body is wanted (`expect.rs`). 101 ends HTTP, so hyper takes it for
//! a final response. An upgrade's request is not listened for: many a WebSocket client takes the first head for the answer.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use headpin_slab::Unsent;
use http::header::CONTENT_LENGTH;
use http::{Extensions, HeaderMap, Request, StatusCode};
use tokio::io::AsyncWrite;

use super::headers;

/// With this much in its queue a connection takes no more, in bytes. The client does not read, and an upstream that goes on
/// cannot be told to wait.
const MOST: usize = 64 * 1024;

/// The informational responses that wait for one client's connection.
#[derive(Debug)]
pub(crate) struct Informational {
    queue: Arc<Queue>,
    /// A request's extensions by which hyper's client knows the queue. A clone takes less than to make them.
    listening: Extensions,
    /// The queue knows whom to wake.
    wakes: Cell<bool>,
    /// A flush has begun to write the queue.
    begun: Cell<bool>,
    /// A response waits until the queue is empty.
    awaited: Cell<bool>,
}

impl Default for Informational {
    fn default() -> Self {
        let queue = Arc::<Queue>::default();
        let mut request = Request::new(());
        listen_with(&mut request, Arc::clone(&queue));
        Self {
            queue,
            listening: request.into_parts().0.extensions,
            wakes: Cell::default(),
            begun: Cell::default(),
            awaited: Cell::default(),
        }
    }
}

impl Informational {
    /// Has hyper's client put what it gets for `request` into the queue.
    pub(crate) fn listen<B>(&self, request: &mut Request<B>) {
        self.queue.set_open(true);
        if request.extensions().is_empty() {
            *request.extensions_mut() = self.listening.clone();
        } else {
            listen_with(request, Arc::clone(&self.queue));
        }
    }

    /// The queue, for a request that has its own callback.
    pub(crate) fn queue(&self) -> Arc<Queue> {
        self.queue.set_open(true);
        Arc::clone(&self.queue)
    }

    /// Ready when nothing waits. From then on nothing is taken before the next request: a response begins. While something waits,
    /// the task of the connection is woken when that is written, so no other may ask.
    pub(crate) fn poll_written(&self) -> Poll<()> {
        if self.queue.is_empty() {
            self.queue.set_open(false);
            return Poll::Ready(());
        }
        self.awaited.set(true);
        Poll::Pending
    }

    /// Writes what waits, for a flush: when nothing is left above to be written before it.
    ///
    /// # Errors
    /// What `to` reports, and `WriteZero` if it takes nothing more.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(&self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        loop {
            if !self.queue.is_empty() {
                self.begun.set(true);
                ready!(self.poll_end(cx, to))?;
            }
            // A connection is one task all its life.
            if self.wakes.replace(true) {
                return Poll::Ready(Ok(()));
            }
            self.queue.task.register(cx.waker());
        }
    }

    /// Writes the rest of what a flush has begun, for a write of other bytes.
    ///
    /// # Errors
    /// What `to` reports, and `WriteZero` if it takes nothing more.
    pub(super) fn poll_rest<W: AsyncWrite + Unpin>(&self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        match self.begun.get() {
            true => self.poll_end(cx, to),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_end<W: AsyncWrite + Unpin>(&self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        ready!(self.queue.poll_send(cx, to))?;
        self.begun.set(false);
        // Who was to be woken went with the waking.
        self.wakes.set(false);
        if self.awaited.take() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

/// Heads as the client gets them, one behind the other.
///
/// The upstream's task fills it and the client's empties it. Both are tasks of one thread, but hyper wants a callback to be `Send`
/// and `Sync`.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// A request is under way, and its response has not begun. hyper's client calls nobody later. If it did, a head would be
    /// written into the middle of a body.
    open: AtomicBool,
    /// `heads` is not empty.
    filled: AtomicBool,
    heads: Mutex<Unsent>,
    /// The client's.
    task: AtomicWaker,
}

impl Queue {
    /// Takes a response, unless it is 100, comes too late, or the client is too far behind.
    pub(crate) fn push(&self, status: StatusCode, headers: &HeaderMap) {
        if status == StatusCode::CONTINUE || !self.open.load(Ordering::Acquire) {
            return;
        }
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.held() >= MOST {
            tracing::debug!(%status, "an informational response is dropped: the client does not read");
            return;
        }
        heads.append(&encode(status, headers));
        self.filled.store(true, Ordering::Release);
        drop(heads);
        self.task.wake();
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        !self.filled.load(Ordering::Acquire)
    }

    fn poll_send<W: AsyncWrite + Unpin>(&self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        ready!(heads.poll_send(cx, to))?;
        self.filled.store(false, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}

fn listen_with<B>(request: &mut Request<B>, queue: Arc<Queue>) {
    hyper::ext::on_informational(request, move |response| {
        queue.push(response.status(), response.headers())
    });
}

/// The head as the client gets it: without what is about the upstream's connection, and without the length of a body, which such a
/// response cannot have (RFC 9110 section 8.6). Names are in lower case, as hyper's client does not tell how they came.
fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut headers = headers.clone();
    headers::remove_hop_by_hop(&mut headers);
    headers.remove(CONTENT_LENGTH);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in &headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[cfg(test)]
mod tests;
