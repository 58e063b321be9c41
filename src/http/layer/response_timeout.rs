//! A limit on silence before a response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tower::{BoxError, Layer, Service};

/// No response within the limit. Usually the upstream's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no response within the limit")]
pub(crate) struct NoResponse;

/// Applies [`ResponseTimeout`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseTimeoutLayer {
    limit: Duration,
}

impl ResponseTimeoutLayer {
    /// Longest silence.
    #[must_use]
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for ResponseTimeoutLayer {
    type Service = ResponseTimeout<S>;

    fn layer(&self, service: S) -> ResponseTimeout<S> {
        ResponseTimeout {
            service,
            limit: self.limit,
        }
    }
}

/// Fails with [`NoResponse`] when the response head does not come within the limit.
///
/// The limit starts with the request and again with every piece of its body that is taken: a long upload is not
/// silence. Dropping the future drops the request.
#[derive(Debug, Clone)]
pub(crate) struct ResponseTimeout<S> {
    service: S,
    limit: Duration,
}

impl<S, B> Service<Request<B>> for ResponseTimeout<S>
where
    S: Service<Request<ProgressBody<B>>>,
    S::Future: 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<Waiting<S::Future>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let progress = Arc::new(AtomicBool::new(false));
        let request = request.map(|body| ProgressBody {
            body,
            progress: Arc::clone(&progress),
        });
        let response = self.service.call(request);
        Box::pin(Waiting {
            response,
            limit: self.limit,
            silence: sleep(self.limit),
            progress,
        })
    }
}

pin_project_lite::pin_project! {
    /// Waits for a response, or for the limit.
    #[derive(Debug)]
    pub(crate) struct Waiting<F> {
        #[pin]
        response: F,
        #[pin]
        silence: Sleep,
        limit: Duration,
        progress: Arc<AtomicBool>,
    }
}

impl<F, R, E> Future for Waiting<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(response) = this.response.poll(cx) {
            return Poll::Ready(response.map_err(Into::into));
        }
        loop {
            ready!(this.silence.as_mut().poll(cx));
            if !this.progress.swap(false, Ordering::Relaxed) {
                return Poll::Ready(Err(NoResponse.into()));
            }
            this.silence.set(sleep(*this.limit));
        }
    }
}

pin_project_lite::pin_project! {
    /// A request body that notes that it is being read.
    #[derive(Debug)]
    pub(crate) struct ProgressBody<B> {
        #[pin]
        body: B,
        progress: Arc<AtomicBool>,
    }
}

impl<B: Body> Body for ProgressBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        this.progress.store(true, Ordering::Relaxed);
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
    use http_body_util::{BodyExt, Channel, Empty};
    use tower::ServiceExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_error() {
        let (service, _handle) = tower_test::mock::pair::<Request<ProgressBody<Empty<Bytes>>>, ()>();
        let error = ResponseTimeoutLayer::new(LIMIT)
            .layer(service)
            .oneshot(Request::new(Empty::new()))
            .await;
        assert!(error.expect_err("nobody answers").is::<NoResponse>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_in_progress_is_not_silence() {
        let (service, mut handle) = tower_test::mock::pair::<Request<ProgressBody<Channel<Bytes>>>, ()>();
        let (mut sender, body) = Channel::new(1);
        let waiting = ResponseTimeoutLayer::new(LIMIT)
            .layer(service)
            .oneshot(Request::new(body));
        let upstream = async move {
            let (request, answer) = handle.next_request().await.expect("a request");
            let mut body = request.into_body();
            for _ in 0..3 {
                tokio::time::advance(LIMIT - Duration::from_secs(1)).await;
                sender.send_data(Bytes::from_static(b"x")).await.expect("is read");
                body.frame().await.expect("a frame").expect("no error");
            }
            answer.send_response(());
        };
        let (response, ()) = tokio::join!(waiting, upstream);
        response.expect("27 seconds, but never 10 in silence");
    }
}
