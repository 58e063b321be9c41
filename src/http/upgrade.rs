//! The upgrade: the request to the upstream, its 101, and both heads.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HOST, ORIGIN, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{self, Body};
use super::error::ProxyError;
use super::forward;
use super::handshake::{self, Protocol};
use super::head_io::HeadIo;
use super::headers;
use super::lease::Lease;
use super::measured;
use super::once::Once;
use super::origin::Origin;
use super::sticky;
use super::target;
use crate::observe::labels::{HeadPolicy, UpgradeResult};
use crate::observe::metrics::Metrics;
use crate::route::Route;
use crate::tunnel::{Content, Half};
use crate::upstream::{DialError, InUse, Plan, Upstream, UpstreamSlices};
use crate::worker::{ConnectionRecord, TunnelTarget, WorkerContext};

/// The upstream's half of a tunnel, until the client has its 101.
///
/// What the upstream sent behind its 101 stays in the stream's slot until then: the census sees the slice, and a change to
/// `copy` lets go of it.
#[derive(Debug)]
pub(crate) struct UpstreamHalf {
    io: HeadIo<UpstreamSlices>,
    /// What hyper had read too many.
    read_too_much: Bytes,
    /// Where the tunnel leads.
    pub(crate) target: TunnelTarget,
    /// What passes through the tunnel.
    pub(crate) content: Content,
}

impl UpstreamHalf {
    /// Where the tunnel leads, the stream, and the head that was cut from it under `policy`.
    pub(crate) fn into_half(self, policy: HeadPolicy) -> (TunnelTarget, Half<UpstreamSlices>) {
        let (mut stream, head) = self.io.into_head(&self.read_too_much, policy);
        stream.begin_tunnel();
        (self.target, Half { stream, head })
    }
}

/// What came of an upgrade that was answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With 101.
    Switched(UpstreamHalf),
    /// With anything else.
    Declined(Lease),
}

type UpstreamIo = TokioIo<HeadIo<UpstreamSlices>>;

/// Performs both exchanges of an upgrade: checks the request, dials, asks the upstream, checks its 101.
///
/// Returns the response for the client, and with a 101 the upstream's half of the tunnel. Dropping the future closes
/// the upstream's connection.
pub(crate) async fn exchange(
    worker: &Rc<WorkerContext>,
    record: &Rc<ConnectionRecord>,
    route: &Arc<Route>,
    upstream: &Arc<Upstream>,
    origin: &Origin,
    protocol: &Protocol,
    request: Request<Body>,
) -> Result<(Response<Body>, Outcome), ProxyError> {
    let mut count = Count {
        metrics: Arc::clone(&worker.shared.metrics),
        result: UpgradeResult::Abandoned,
    };
    let exchanged = try_exchange(worker, record, route, upstream, origin, protocol, request).await;
    count.result = match &exchanged {
        Ok((_, Outcome::Switched(_))) => UpgradeResult::Switched,
        Ok((_, Outcome::Declined(_))) => UpgradeResult::Declined,
        Err(error) => error.upgrade_result(),
    };
    exchanged
}

async fn try_exchange(
    worker: &Rc<WorkerContext>,
    record: &Rc<ConnectionRecord>,
    route: &Arc<Route>,
    upstream: &Arc<Upstream>,
    origin: &Origin,
    protocol: &Protocol,
    mut request: Request<Body>,
) -> Result<(Response<Body>, Outcome), ProxyError> {
    let key = match protocol {
        Protocol::WebSocket => {
            let key = handshake::check_request(&request)?;
            check_origin(&request, route)?;
            Some(key)
        }
        Protocol::Other(_) => None,
    };
    let mut plan = upstream.plan(request.headers(), origin.peer.ip());
    forward::prepare(&mut request, origin, route)?;
    let path = target::path(request.uri());
    let (mut parts, body) = request.into_parts();
    parts.uri = Uri::from(route.target(path.clone())?);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.insert(UPGRADE, protocol.name());
    // The body is read at once: the client gets its 100 from here.
    parts.headers.remove(EXPECT);
    let metrics = Arc::clone(&worker.shared.metrics);
    let body = Once::new(body, move |bytes| metrics.request_body_bytes_total.inc_by(bytes));

    let (place, stream) = dial(worker, upstream, &mut plan).await?;
    let server = Arc::clone(&place.server);
    parts.headers.entry(HOST).or_insert_with(|| server.host.clone());
    let request = Request::from_parts(parts, body.attempt());
    let began = place.request_begins();
    let answered = ask(worker, record, route, upstream, stream, protocol, key.as_ref(), request).await;
    let failed = |error: &ProxyError| {
        if let Some(failure) = error.upstream_failure() {
            upstream.note_failure(&server, failure);
        }
    };
    let (mut response, switched) = answered.inspect_err(failed)?;
    server.state.answered_after(began.elapsed());
    upstream.note_status(&server, response.status());
    sticky::issue(response.headers_mut(), upstream, &plan, &server);
    let outcome = match switched {
        Some((io, read_too_much)) => Outcome::Switched(UpstreamHalf {
            io,
            read_too_much,
            target: TunnelTarget::new(path.path().into(), Arc::clone(route), place),
            content: match protocol {
                Protocol::WebSocket => Content::Frames,
                Protocol::Other(_) => Content::Bytes,
            },
        }),
        None => Outcome::Declined(Lease::of_upgrade(place)),
    };
    Ok((response, outcome))
}

/// A browser says whose page opens a WebSocket (RFC 6455 section 10.2); who is not a browser says nothing.
fn check_origin(request: &Request<Body>, route: &Route) -> Result<(), ProxyError> {
    match request.headers().get(ORIGIN) {
        Some(origin) if !origin.to_str().is_ok_and(|origin| route.allows_origin(origin)) => Err(ProxyError::Origin),
        _ => Ok(()),
    }
}

/// Connects to the next server of `plan`; when one fails, to the one after it, until each was tried once.
async fn dial(
    worker: &WorkerContext,
    upstream: &Upstream,
    plan: &mut Plan,
) -> Result<(InUse, UpstreamSlices), ProxyError> {
    let deadline = upstream.dial_deadline();
    let mut failure = None;
    loop {
        let place = match upstream.reserve(plan).await {
            Ok(place) => place,
            Err(DialError::NoServer) => return Err(failure.unwrap_or(DialError::NoServer).into()),
            Err(full) => return Err(full.into()),
        };
        let server = Arc::clone(&place.server);
        let dialled = upstream
            .dialer
            .slices(&server, deadline, &worker.slabs, &worker.tls_buffers);
        match dialled.await {
            Ok(stream) => return Ok((place, stream)),
            Err(error) => {
                upstream.note_dial_error(&server, &error);
                plan.tried(&server);
                failure = Some(error);
            }
        }
    }
}

/// What comes behind a 101: the stream, and what hyper had read too many.
type Switched = (HeadIo<UpstreamSlices>, Bytes);

/// Sends `request`, and makes the response ready for the client.
#[allow(clippy::too_many_arguments, reason = "one exchange, which has so many parts")]
async fn ask(
    worker: &Rc<WorkerContext>,
    record: &Rc<ConnectionRecord>,
    route: &Route,
    upstream: &Upstream,
    stream: UpstreamSlices,
    protocol: &Protocol,
    key: Option<&HeaderValue>,
    request: Request<Body>,
) -> Result<(Response<Body>, Option<Switched>), ProxyError> {
    let io = HeadIo::watched(stream);
    // Every request on this connection asks for an upgrade, it is the only one.
    io.state().slot.keep();
    let answered = timeout(
        route.response_timeout,
        send(worker, record, upstream, TokioIo::new(io), request),
    )
    .await;
    let answered = answered.map_err(|_| ProxyError::ResponseTimeout {
        limit: route.response_timeout,
    })?;
    let (response, switched) = answered.map_err(|error| ProxyError::of_exchange(error, route))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok((forward::finish(response, route)?, None));
    }
    match key {
        Some(key) => handshake::check_response(&response, key)?,
        None => handshake::check_switch(&response, &protocol.name())?,
    }
    let parts = switched
        .await
        .map_err(|_| ProxyError::Upstream("the connection ended with its 101".into()))?;
    let mut response = response.map(|_| body::empty());
    headers::remove_hop_by_hop(response.headers_mut());
    headers::change(response.headers_mut(), route.response_headers.as_ref());
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, protocol.name());
    Ok((response, Some((parts.io.into_inner(), parts.read_buf))))
}

/// Sends the one request of a connection. The connection is driven by a task of its own, which gives it back after a
/// 101 and ends with the response body otherwise, or when the response is dropped.
async fn send(
    worker: &WorkerContext,
    record: &Rc<ConnectionRecord>,
    upstream: &Upstream,
    io: UpstreamIo,
    request: Request<Body>,
) -> hyper::Result<(
    Response<hyper::body::Incoming>,
    oneshot::Receiver<http1::Parts<UpstreamIo>>,
)> {
    let (mut sender, mut connection) = upstream.heads.connection().handshake(io).await?;
    let (switched, receiver) = oneshot::channel();
    let driving = measured::wrap(record, async move {
        match poll_fn(|cx| connection.poll_without_shutdown(cx)).await {
            // Nobody waits for it after a response other than 101.
            Ok(()) => drop(switched.send(connection.into_parts())),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "an upgrade's upstream connection broke"
                );
            }
        }
    });
    worker.tracker.spawn_local(driving);
    let response = sender.send_request(request).await?;
    Ok((response, receiver))
}

/// Counts an upgrade when it is over, also when the client left in the middle.
struct Count {
    metrics: Arc<Metrics>,
    result: UpgradeResult,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.metrics.upgrades_total[self.result].inc();
    }
}
