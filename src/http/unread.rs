//! Whether a request's body has been read to its end: only then does the next request follow.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Set while a part of a request's body is not read. An atomic only because bodies are `Send`.
pub(super) type Unread = Arc<AtomicBool>;

pin_project! {
    /// A body that notes when it has been read to its end.
    pub(super) struct NotedBody<B> {
        #[pin]
        body: B,
        unread: Unread,
    }
}

impl<B> NotedBody<B> {
    pub(super) fn new(body: B, unread: Unread) -> Self {
        Self { body, unread }
    }
}

impl<B: HttpBody> HttpBody for NotedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if frame.is_none() || this.body.is_end_stream() {
            this.unread.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_is_unread_up_to_its_last_frame() {
        let unread = Unread::new(AtomicBool::new(true));
        let body = Full::new(Bytes::from_static(b"all"));
        let mut body = NotedBody::new(body, Arc::clone(&unread));
        assert!(unread.load(Ordering::Relaxed));
        assert!(body.frame().await.is_some());
        assert!(
            !unread.load(Ordering::Relaxed),
            "who sees the end does not ask for more"
        );
    }
}
