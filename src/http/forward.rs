//! Plain requests: to the upstream and back, bodies streamed both ways.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Extensions, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};
use tower::{BoxError, Layer, ServiceExt};

use super::body::{self, Body};
use super::error::ProxyError;
use super::expect;
use super::framing;
use super::head_io::IoState;
use super::headers;
use super::informational::Informational;
use super::layer::{NoResponse, ResponseTimeoutLayer};
use super::lease::Lease;
use super::once::Once;
use super::origin::Origin;
use super::sticky;
use super::target;
use crate::route::Route;
use crate::upstream::{Checkout, DialError, InUse, Server, Upstream};
use crate::worker::WorkerContext;

/// A request that goes to one server or another.
struct Message<'r> {
    head: Parts,
    body: Once,
    /// RFC 9110 section 9.2.2, and its body is empty.
    may_repeat: bool,
    route: &'r Route,
    /// Where those of its answer go that come before the response.
    informational: Option<&'r Informational>,
}

/// An attempt that failed.
struct Failed {
    error: ProxyError,
    /// Nothing of the request was sent.
    is_unsent: bool,
}

/// Forwards `request` and returns the response with its body still streaming, and what it holds meanwhile.
///
/// One server after the other is tried until one can be connected to. A request that may be repeated (RFC 9110 section 9.2.2),
/// and whose body is empty, goes once more on a new connection when an idle one ended without an answer, as a server may close
/// it at any time; and after that to other servers, as the upstream's retries allow.
///
/// # Cancel safety
/// Dropped, the request is given up, and its connection closed.
pub(crate) async fn forward<B>(
    worker: &WorkerContext,
    route: &Route,
    upstream: &Upstream,
    origin: &Origin,
    io: &IoState,
    mut request: Request<B>,
) -> Result<(Response<Body>, Lease), ProxyError>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Send + 'static,
{
    // HTTP/1.0 knows of none (RFC 9110 section 15.2).
    let informational = (request.version() >= Version::HTTP_11).then(|| io.informational());
    let mut plan = upstream.plan(request.headers(), origin.peer.ip());
    prepare(&mut request, origin, route)?;
    let (mut head, body) = request.into_parts();
    if !upstream.heads.is_as_sent() {
        // Nothing of them is for hyper's client, and each attempt would clone them.
        head.extensions = Extensions::new();
    }
    head.uri = Uri::from(route.target(target::path(&head.uri))?);
    let metrics = Arc::clone(&worker.shared.metrics);
    let message = Message {
        may_repeat: head.method.is_idempotent() && body.is_end_stream(),
        head,
        body: Once::new(body, move |bytes| metrics.request_body_bytes_total.inc_by(bytes)),
        route,
        informational,
    };
    let mut deadline = None;
    let mut retries = 0;
    let mut failure = None;
    loop {
        let place = match upstream.reserve(&plan).await {
            Ok(place) => place,
            Err(DialError::NoServer) => return Err(failure.unwrap_or_else(ProxyError::no_server)),
            Err(full) => return Err(full.into()),
        };
        let server = Arc::clone(&place.server);
        let exchanged = message.exchange(worker, upstream, &place, &mut deadline).await;
        let error = match exchanged.and_then(|(response, checkout)| Ok((finish(response, route)?, checkout))) {
            Ok((mut response, checkout)) => {
                upstream.note_status(&server, response.status());
                sticky::issue(response.headers_mut(), upstream, &plan, &server);
                return Ok((response, Lease::of_request(place, checkout)));
            }
            Err(error) => error,
        };
        plan.tried(&server);
        if let Some(failure) = error.upstream_failure() {
            upstream.note_failure(&server, failure);
        }
        match &error {
            ProxyError::Unreachable { .. } => {}
            error if message.may_repeat && error.is_unanswered() && upstream.may_retry(&plan, retries) => {
                retries += 1;
                // The time spent on waiting for an answer is not part of the dialling.
                deadline = None;
            }
            _ => return Err(error),
        }
        failure = Some(error);
    }
}

impl Message<'_> {
    /// One exchange with the server of `place`: on an idle connection, or on a new one.
    async fn exchange(
        &self,
        worker: &WorkerContext,
        upstream: &Upstream,
        place: &InUse,
        deadline: &mut Option<Instant>,
    ) -> Result<(Response<Incoming>, Checkout), ProxyError> {
        let server = &*place.server;
        while let Some(sender) = worker.pools.take(server, upstream.generation) {
            if !self.may_repeat {
                // Its end may have come already: what drives it has its turn first.
                yield_now().await;
                if sender.sender.is_closed() {
                    continue;
                }
            }
            let mut checkout = worker.pools.check_out(sender, server, upstream);
            match self.send(&mut checkout, place).await {
                Ok(response) => return Ok((response, checkout)),
                Err(failed) => {
                    checkout.discard();
                    let may_go_again = failed.is_unsent || (self.may_repeat && failed.error.is_broken_off());
                    if !may_go_again {
                        return Err(failed.error);
                    }
                    break;
                }
            }
        }
        // Begins with the first connection that is made.
        let deadline = *deadline.get_or_insert_with(|| upstream.dial_deadline());
        // Apart, like what sends a body: these are large, and most requests need neither.
        let connected = Box::pin(upstream.connect(server, deadline)).await;
        let (sender, driving) = connected.inspect_err(|error| upstream.note_dial_error(server, error))?;
        worker.tracker.spawn_local(driving);
        let mut checkout = worker.pools.check_out(sender, server, upstream);
        match self.send(&mut checkout, place).await {
            Ok(response) => Ok((response, checkout)),
            Err(failed) => {
                checkout.discard();
                Err(failed.error)
            }
        }
    }

    async fn send(&self, checkout: &mut Checkout, place: &InUse) -> Result<Response<Incoming>, Failed> {
        let began = place.request_begins();
        let response = self.send_in_time(checkout, &place.server).await?;
        place.server.state.answered_after(began.elapsed());
        Ok(response)
    }

    async fn send_in_time(&self, checkout: &mut Checkout, server: &Server) -> Result<Response<Incoming>, Failed> {
        let limit = self.route.response_timeout;
        let sender = &mut checkout.sender().sender;
        let request = self.attempt(server);
        if self.body.is_empty() {
            return match timeout(limit, sender.try_send_request(request)).await {
                Ok(answered) => answered.map_err(|error| Failed::of(NotSent::of(error), self.route)),
                Err(_) => Err(Failed::silent(limit)),
            };
        }
        // A long body is not silence.
        let sending = tower::service_fn(|request: Request<_>| {
            let sent = sender.try_send_request(request.map(body::boxed));
            async { sent.await.map_err(|error| BoxError::from(NotSent::of(error))) }
        });
        let answered = ResponseTimeoutLayer::new(limit).layer(sending).oneshot(request);
        let answered = Box::pin(answered).await;
        answered.map_err(|error| match error.downcast::<NotSent>() {
            Ok(failed) => Failed::of(*failed, self.route),
            Err(error) if error.is::<NoResponse>() => Failed::silent(limit),
            Err(error) => Failed {
                error: ProxyError::Upstream(error),
                is_unsent: false,
            },
        })
    }

    /// The request as `server` gets it.
    fn attempt(&self, server: &Server) -> Request<Body> {
        let mut request = Request::from_parts(self.head.clone(), self.body.attempt());
        // HTTP/1.0 does without.
        request.headers_mut().entry(HOST).or_insert_with(|| server.host.clone());
        if expect::is_asked(&self.head.headers) {
            return expect::hold(request, self.informational).map(body::boxed);
        }
        if let Some(informational) = self.informational {
            informational.listen(&mut request);
        }
        request
    }
}

/// What hyper says of an attempt that failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct NotSent {
    error: hyper::Error,
    is_unsent: bool,
}

impl NotSent {
    fn of(mut error: TrySendError<Request<Body>>) -> Self {
        let is_unsent = error.take_message().is_some();
        Self {
            error: error.into_error(),
            is_unsent,
        }
    }
}

impl Failed {
    fn of(failed: NotSent, route: &Route) -> Self {
        Self {
            error: ProxyError::of_exchange(failed.error, route),
            is_unsent: failed.is_unsent,
        }
    }

    fn silent(limit: Duration) -> Self {
        Self {
            error: ProxyError::ResponseTimeout { limit },
            is_unsent: false,
        }
    }
}

/// Makes a response of the upstream ready for the client.
pub(super) fn finish(response: Response<Incoming>, route: &Route) -> Result<Response<Body>, ProxyError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProxyError::UnaskedSwitch);
    }
    framing::is_chunked(response.headers()).map_err(ProxyError::BadResponseFraming)?;
    let mut response = response.map(body::boxed);
    headers::remove_hop_by_hop(response.headers_mut());
    headers::change(response.headers_mut(), route.response_headers.as_ref());
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

/// Makes the head of a request ready for the upstream, and sees to it that its body will be framed as it came: hyper would send
/// an empty body of unknown length as chunked, or drop one with GET.
pub(crate) fn prepare<B: HttpBody>(request: &mut Request<B>, origin: &Origin, route: &Route) -> Result<(), ProxyError> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(ProxyError::Method(request.method().clone()));
    }
    target::check(request)?;
    let is_chunked = framing::is_chunked(request.headers())?;
    if let Some(most) = route.max_body
        && length(request).is_some_and(|length| length > most)
    {
        return Err(ProxyError::BodyTooLarge { most });
    }
    headers::remove_hop_by_hop(request.headers_mut());
    origin.tell(request.headers_mut(), route.forwarded);
    headers::change(request.headers_mut(), route.request_headers.as_ref());
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

/// What a request says of the length of its body.
fn length<B>(request: &Request<B>) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
