//! The body of a request, for several attempts to send it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::BoxError;

use super::body::{self, Body};

/// A body that goes with the attempt that first reads of it. Attempts that failed before, as no connection came about, have left
/// it whole.
pub(crate) enum Once {
    Empty,
    /// An atomic and a lock only because bodies are `Send`.
    Whole(Arc<Mutex<Option<Body>>>),
}

impl Once {
    /// For `body`, whose bytes are given to `count` as they pass.
    pub(crate) fn new<B>(body: B, count: impl Fn(u64) + Send + 'static) -> Self
    where
        B: HttpBody<Data = Bytes, Error = BoxError> + Send + 'static,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let counted = body.map_frame(move |frame| {
            count(frame.data_ref().map_or(0, |data| data.len() as u64));
            frame
        });
        Self::Whole(Arc::new(Mutex::new(Some(body::boxed(counted)))))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The body for one attempt.
    pub(crate) fn attempt(&self) -> Body {
        match self {
            Self::Empty => body::empty(),
            Self::Whole(shared) => body::boxed(Attempt {
                shared: Arc::clone(shared),
                own: None,
            }),
        }
    }
}

struct Attempt {
    shared: Arc<Mutex<Option<Body>>>,
    /// From the first read on.
    own: Option<Body>,
}

impl HttpBody for Attempt {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.own.is_none() {
            let whole = self.shared.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.own = whole;
        }
        match &mut self.own {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(Some(Err("the body went with an earlier attempt".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.own.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.own {
            Some(body) => body.size_hint(),
            None => {
                let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
            }
        }
    }
}
