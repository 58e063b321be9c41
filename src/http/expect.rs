//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the upstream decides, and not this proxy.
//!
//! hyper sends 100 to the client when the body is first read. So the body is not read before the upstream's 100 has come: until
//! then the client waits, and what the upstream says instead, such as 413, reaches it before it has sent anything.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::EXPECT;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tower::BoxError;

use super::body::Body;
use super::informational::Informational;

/// How long a body waits for the upstream's word. A server may have none (RFC 9110 section 10.1.1): then the body goes.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a request waits for a 100 with its body.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Holds the body of `request` back until the upstream's 100, or for as long as is usual. Other informational responses go into
/// `informational`.
pub(super) fn hold(mut request: Request<Body>, informational: Option<&Informational>) -> Request<Held> {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let queue = informational.map(Informational::queue);
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            opened.open();
        } else if let Some(queue) = &queue {
            queue.push(response.status(), response.headers());
        }
    });
    request.map(|body| Held {
        body,
        gate,
        patience: None,
    })
}

#[derive(Debug, Default)]
struct Gate {
    is_open: AtomicBool,
    waiting: AtomicWaker,
}

impl Gate {
    fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

/// A body that is not read before its gate is open.
pub(super) struct Held {
    body: Body,
    gate: Arc<Gate>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.gate.is_open.load(Ordering::Acquire) {
            self.gate.waiting.register(cx.waker());
            let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
            let is_over = patience.as_mut().poll(cx).is_ready();
            // It may have been opened before the waker was known.
            if !is_over && !self.gate.is_open.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            self.gate.is_open.store(true, Ordering::Release);
            self.patience = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
