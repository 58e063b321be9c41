//! Turns errors into responses.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use tower::{BoxError, Layer, Service};

/// Applies [`Rescue`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct RescueLayer<R> {
    respond: R,
}

impl<R> RescueLayer<R> {
    /// Responds with what `respond` makes of an error.
    pub(crate) fn new(respond: R) -> Self {
        Self { respond }
    }
}

impl<S, R: Clone> Layer<S> for RescueLayer<R> {
    type Service = Rescue<S, R>;

    fn layer(&self, service: S) -> Rescue<S, R> {
        Rescue {
            service,
            respond: self.respond.clone(),
        }
    }
}

/// A service that never fails: what the inner one fails with becomes a response.
#[derive(Debug, Clone)]
pub(crate) struct Rescue<S, R> {
    service: S,
    respond: R,
}

impl<S, R, Q, B> Service<Q> for Rescue<S, R>
where
    S: Service<Q, Response = Response<B>, Error = BoxError>,
    R: Fn(&BoxError) -> Response<B> + Clone,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Rescuing<S::Future, R>;

    /// Ready as soon as the inner service is, or has failed: then `call` meets the failure again.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        Rescuing {
            response: self.service.call(request),
            respond: self.respond.clone(),
        }
    }
}

pin_project_lite::pin_project! {
    /// Waits for a response or an error.
    #[derive(Debug)]
    pub(crate) struct Rescuing<F, R> {
        #[pin]
        response: F,
        respond: R,
    }
}

impl<F, R, B> Future for Rescuing<F, R>
where
    F: Future<Output = Result<Response<B>, BoxError>>,
    R: Fn(&BoxError) -> Response<B>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx));
        Poll::Ready(Ok(response.unwrap_or_else(|error| (this.respond)(&error))))
    }
}
