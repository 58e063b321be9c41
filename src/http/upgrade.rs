//! The upgrade: the request to the upstream, its 101, and both heads.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{self, Body};
use super::error::ProxyError;
use super::forward;
use super::framing;
use super::handshake::{self, Protocol};
use super::head_io::HeadIo;
use super::headers::{self, Origin};
use super::measured;
use super::once::Once;
use super::target;
use crate::observe::labels::UpgradeResult;
use crate::observe::metrics::Metrics;
use crate::route::Route;
use crate::tunnel::{Content, Half};
use crate::upstream::UpstreamSlices;
use crate::worker::{ConnectionRecord, WorkerContext};

/// The upstream's half of a tunnel, until the client has its 101.
///
/// What the upstream sent behind its 101 stays in the stream's slot until then: the census sees the slice, and a change to
/// `copy` lets go of it.
#[derive(Debug)]
pub(crate) struct UpstreamHalf {
    io: HeadIo<UpstreamSlices>,
    /// What hyper had read too many.
    read_too_much: Bytes,
    /// Path of the upgrade request.
    pub(crate) path: Box<str>,
    /// What passes through the tunnel.
    pub(crate) content: Content,
}

impl UpstreamHalf {
    /// The stream, and the head that was cut from it.
    pub(crate) fn into_half(self) -> Half<UpstreamSlices> {
        let (stream, head) = self.io.into_head(&self.read_too_much);
        Half { stream, head }
    }
}

type UpstreamIo = TokioIo<HeadIo<UpstreamSlices>>;

/// Performs both exchanges of an upgrade: checks the request, dials, asks the upstream, checks its 101.
///
/// Returns the response for the client, and with a 101 the upstream's half of the tunnel. Dropping the future closes
/// the upstream's connection.
pub(crate) async fn exchange(
    worker: &Rc<WorkerContext>,
    record: &Rc<ConnectionRecord>,
    route: &Route,
    origin: Origin,
    protocol: &Protocol,
    request: Request<Body>,
) -> Result<(Response<Body>, Option<UpstreamHalf>), ProxyError> {
    let mut outcome = Outcome {
        metrics: Arc::clone(&worker.shared.metrics),
        result: UpgradeResult::Abandoned,
    };
    let exchanged = try_exchange(worker, record, route, origin, protocol, request).await;
    outcome.result = match &exchanged {
        Ok((_, Some(_))) => UpgradeResult::Switched,
        Ok((_, None)) => UpgradeResult::Declined,
        Err(error) => error.upgrade_result(),
    };
    exchanged
}

async fn try_exchange(
    worker: &Rc<WorkerContext>,
    record: &Rc<ConnectionRecord>,
    route: &Route,
    origin: Origin,
    protocol: &Protocol,
    mut request: Request<Body>,
) -> Result<(Response<Body>, Option<UpstreamHalf>), ProxyError> {
    let key = match protocol {
        Protocol::WebSocket => Some(handshake::check_request(&request)?),
        Protocol::Other(_) => None,
    };
    forward::prepare(&mut request, origin, route)?;
    let path = target::path(request.uri());
    let (mut parts, body) = request.into_parts();
    parts.uri = Uri::from(path.clone());
    parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.insert(UPGRADE, protocol.name());
    // The body is read at once: the client gets its 100 from here.
    parts.headers.remove(EXPECT);
    let metrics = Arc::clone(&worker.shared.metrics);
    let body = Once::new(body, move |bytes| metrics.request_body_bytes_total.inc_by(bytes));
    let request = Request::from_parts(parts, body.attempt());

    let stream = route.upstream.dialer.dial(&worker.slabs, &worker.tls_buffers).await?;
    let io = HeadIo::watched(stream);
    // Every request on this connection asks for an upgrade, it is the only one.
    io.state().slot.keep();
    let limit = route.upstream.response_timeout;
    let answered = timeout(limit, send(worker, record, route, TokioIo::new(io), request)).await;
    let answered = answered.map_err(|_| ProxyError::ResponseTimeout)?;
    let (response, switched) = answered.map_err(|error| ProxyError::Upstream(error.into()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        framing::is_chunked(response.headers()).map_err(ProxyError::BadResponseFraming)?;
        let mut response = response.map(body::boxed);
        headers::remove_hop_by_hop(response.headers_mut());
        return Ok((response, None));
    }
    match &key {
        Some(key) => handshake::check_response(&response, key)?,
        None => handshake::check_switch(&response, &protocol.name())?,
    }
    let parts = switched
        .await
        .map_err(|_| ProxyError::Upstream("the connection ended with its 101".into()))?;
    let half = UpstreamHalf {
        io: parts.io.into_inner(),
        read_too_much: parts.read_buf,
        path: path.path().into(),
        content: match protocol {
            Protocol::WebSocket => Content::Frames,
            Protocol::Other(_) => Content::Bytes,
        },
    };
    let mut response = response.map(|_| body::empty());
    headers::remove_hop_by_hop(response.headers_mut());
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, protocol.name());
    Ok((response, Some(half)))
}

/// Sends the one request of a connection. The connection is driven by a task of its own, which gives it back after a
/// 101 and ends with the response body otherwise, or when the response is dropped.
async fn send(
    worker: &WorkerContext,
    record: &Rc<ConnectionRecord>,
    route: &Route,
    io: UpstreamIo,
    request: Request<Body>,
) -> hyper::Result<(
    Response<hyper::body::Incoming>,
    oneshot::Receiver<http1::Parts<UpstreamIo>>,
)> {
    let (mut sender, mut connection) = route.upstream.heads.connection().handshake(io).await?;
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
struct Outcome {
    metrics: Arc<Metrics>,
    result: UpgradeResult,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.metrics.upgrades_total[self.result].inc();
    }
}
