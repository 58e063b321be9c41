//! Plain requests: to the upstream and back, bodies streamed both ways.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use tower::BoxError;

use super::body::{self, Body};
use super::error::ProxyError;
use super::expect;
use super::framing;
use super::headers::{self, Origin};
use super::once::Once;
use super::target;
use crate::route::Route;
use crate::upstream::{MAX_BUFFER, Server, Upstream};
use crate::worker::WorkerContext;

/// Forwards `request` and returns the response with its body still streaming.
///
/// One server after the other is tried until one can be connected to. A request that may be repeated (RFC 9110 section 9.2.2),
/// and whose body is empty, goes once more, on a connection of its own, when the one that it went on ended without an answer: a
/// server may close a kept connection at any time.
pub(crate) async fn forward<B>(
    worker: &WorkerContext,
    route: &Route,
    origin: Origin,
    mut request: Request<B>,
) -> Result<Response<Body>, ProxyError>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Send + 'static,
{
    prepare(&mut request, origin, route)?;
    let (head, body) = request.into_parts();
    let may_repeat = head.method.is_idempotent() && body.is_end_stream();
    let metrics = Arc::clone(&worker.shared.metrics);
    let body = Once::new(body, move |bytes| metrics.request_body_bytes_total.inc_by(bytes));
    let client = worker.client(&route.upstream);
    let mut failure = None;
    for server in route.upstream.dialer.candidates() {
        let error = match client.request(attempt(&head, &body, server)).await {
            Ok(response) => return finish(response),
            Err(error) => error,
        };
        let is_connect = error.is_connect();
        let error = ProxyError::of_client(error);
        if is_connect {
            failure = Some(error);
            continue;
        }
        if may_repeat && error.is_unanswered() {
            return finish(send_alone(worker, route, server, attempt(&head, &body, server)).await?);
        }
        return Err(error);
    }
    Err(failure.unwrap_or_else(ProxyError::no_server))
}

/// The request as `server` gets it.
fn attempt(head: &Parts, body: &Once, server: &Server) -> Request<Body> {
    let mut request = Request::from_parts(head.clone(), body.attempt());
    *request.uri_mut() = Upstream::uri(server, target::path(&head.uri));
    // HTTP/1.0 does without.
    request.headers_mut().entry(HOST).or_insert_with(|| server.host.clone());
    if expect::is_asked(&head.headers) {
        return expect::hold(request).map(body::boxed);
    }
    request
}

/// Sends `request` on a connection to which no other request goes.
async fn send_alone(
    worker: &WorkerContext,
    route: &Route,
    server: &Server,
    request: Request<Body>,
) -> Result<Response<Incoming>, ProxyError> {
    let connection = route.upstream.connect(server).await?;
    let pace = connection.pace();
    let broke = |error: hyper::Error| ProxyError::Upstream(error.into());
    let mut builder = route.upstream.heads.connection();
    let (mut sender, connection) = builder
        .max_buf_size(MAX_BUFFER)
        .handshake(connection)
        .await
        .map_err(broke)?;
    worker.tracker.spawn_local(async move {
        // Whoever reads the response gets the error, too.
        let _ = connection.await;
    });
    let mut response = sender.send_request(request).await.map_err(broke)?;
    response.extensions_mut().insert(pace);
    Ok(response)
}

fn finish(response: Response<Incoming>) -> Result<Response<Body>, ProxyError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProxyError::UnaskedSwitch);
    }
    framing::is_chunked(response.headers()).map_err(ProxyError::BadResponseFraming)?;
    let mut response = response.map(body::boxed);
    headers::remove_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

/// Makes the head of a request ready for the upstream, and sees to it that its body will be framed as it came: hyper would send
/// an empty body of unknown length as chunked, or drop one with GET.
pub(crate) fn prepare<B: HttpBody>(request: &mut Request<B>, origin: Origin, route: &Route) -> Result<(), ProxyError> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(ProxyError::Method(request.method().clone()));
    }
    target::check(request)?;
    let is_chunked = framing::is_chunked(request.headers())?;
    headers::prepare_request(request.headers_mut(), origin, route.forwarded);
    if request.body().is_end_stream() {
        // There is nothing to wait with.
        request.headers_mut().remove(EXPECT);
    }
    if is_chunked && !request.body().is_end_stream() {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}
