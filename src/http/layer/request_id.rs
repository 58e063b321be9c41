//! An id for each request, which the upstream, the client and the log get.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service};
use uuid::Uuid;

/// Names a request in the logs of everything that handles it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes a random UUID (version 4, RFC 9562 section 5.4).
///
/// An id is not a secret, it must only be another one each time: this draws from a generator that is seeded at random once a
/// thread, and not from the kernel, which would be a system call for each request.
fn make() -> HeaderValue {
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut text = Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("a UUID is visible text")
}

/// Applies [`Identify`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdentifyLayer;

impl<S> Layer<S> for IdentifyLayer {
    type Service = Identify<S>;

    fn layer(&self, service: S) -> Identify<S> {
        Identify { service }
    }
}

/// Gives an id to a request that comes without one, and to a response that does not have one the id of its request.
///
/// tower-http's layers for this keep the id in the extensions of the request and of the response as well, where nobody looks
/// for it, at a cost in every request.
#[derive(Debug, Clone)]
pub(crate) struct Identify<S> {
    service: S,
}

impl<S, B, R> Service<Request<B>> for Identify<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Identifying<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = request.headers_mut().entry(REQUEST_ID).or_insert_with(make).clone();
        Identifying {
            response: self.service.call(request),
            id: Some(id),
        }
    }
}

pin_project_lite::pin_project! {
    /// A request under way.
    #[derive(Debug)]
    pub(crate) struct Identifying<F> {
        #[pin]
        response: F,
        id: Option<HeaderValue>,
    }
}

impl<F, R, E> Future for Identifying<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        if let Some(id) = this.id.take() {
            response.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;

    use tower::ServiceExt as _;

    use super::*;

    /// The id that the service sees of a request with this one, and that its response has.
    async fn ids(of_request: Option<&'static str>, of_response: Option<&'static str>) -> (String, String) {
        let inner = tower::service_fn(move |request: Request<()>| async move {
            let mut response = Response::new(request.headers()[REQUEST_ID].to_str().expect("text").to_owned());
            if let Some(id) = of_response {
                response.headers_mut().insert(REQUEST_ID, HeaderValue::from_static(id));
            }
            Ok::<_, Infallible>(response)
        });
        let mut request = Request::new(());
        if let Some(id) = of_request {
            request.headers_mut().insert(REQUEST_ID, HeaderValue::from_static(id));
        }
        let response = IdentifyLayer.layer(inner).oneshot(request).await.expect("infallible");
        let answered = response.headers()[REQUEST_ID].to_str().expect("text").to_owned();
        (response.into_body(), answered)
    }

    #[tokio::test]
    async fn ids_are_random_uuids() {
        let mut all = HashSet::new();
        for _ in 0..1000 {
            let (id, answered) = ids(None, None).await;
            assert_eq!(id, answered);
            assert_eq!(Uuid::parse_str(&id).expect("a UUID").get_version_num(), 4);
            assert!(all.insert(id), "one id twice");
        }
    }

    #[tokio::test]
    async fn an_id_that_is_there_stays() {
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(ids(Some("a"), None).await, pair("a", "a"));
        assert_eq!(ids(Some("a"), Some("b")).await, pair("a", "b"));
    }
}
