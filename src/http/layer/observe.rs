//! Counts and logs every request.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::request_id::REQUEST_ID;

use crate::observe::ACCESS_LOG;
use crate::observe::labels::StatusClass;
use crate::observe::metrics::{GaugeGuard, Metrics};
use crate::route::Route;

/// The route of a connection's request under way.
pub(crate) type CurrentRoute = Rc<RefCell<Option<Arc<Route>>>>;

/// Applies [`Observe`].
#[derive(Debug, Clone)]
pub(crate) struct ObserveLayer {
    metrics: Arc<Metrics>,
    peer: SocketAddr,
    route: CurrentRoute,
}

impl ObserveLayer {
    /// For requests of `peer`.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Metrics>, peer: SocketAddr, route: CurrentRoute) -> Self {
        Self { metrics, peer, route }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, service: S) -> Observe<S> {
        Observe {
            service,
            layer: self.clone(),
        }
    }
}

/// Counts requests and body bytes, measures the time to the response head, and writes one access-log event when the
/// response body has been sent, or dropped.
///
/// A request whose future is dropped before its response is logged with status 499, as nginx does: the client left.
#[derive(Debug, Clone)]
pub(crate) struct Observe<S> {
    service: S,
    layer: ObserveLayer,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ObservedBody<R>>;
    type Error = S::Error;
    type Future = Observing<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let record = Record {
            in_flight: GaugeGuard::new(&self.layer.metrics.requests_in_flight),
            metrics: Arc::clone(&self.layer.metrics),
            access: AccessLine::of(&request, self.layer.peer),
            route: self.layer.route.borrow().clone(),
            started: Instant::now(),
            status: None,
            bytes: 0,
        };
        Observing {
            response: self.service.call(request),
            record: Some(record),
        }
    }
}

/// What the access log says of a request.
#[derive(Debug)]
struct AccessLine {
    peer: SocketAddr,
    id: String,
    method: Method,
    host: String,
    path: String,
}

impl AccessLine {
    /// `None` while nobody reads the access log: then a request pays nothing for it.
    fn of<B>(request: &Request<B>, peer: SocketAddr) -> Option<Self> {
        if !tracing::enabled!(target: ACCESS_LOG, tracing::Level::INFO) {
            return None;
        }
        let text = |name: HeaderName| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Some(Self {
            peer,
            id: text(REQUEST_ID),
            method: request.method().clone(),
            host: text(http::header::HOST),
            path: request.uri().path().to_owned(),
        })
    }
}

/// What is known of a request; counted, and logged if somebody reads that, when dropped.
#[derive(Debug)]
struct Record {
    in_flight: GaugeGuard,
    metrics: Arc<Metrics>,
    access: Option<AccessLine>,
    route: Option<Arc<Route>>,
    started: Instant,
    status: Option<StatusCode>,
    /// Body bytes sent.
    bytes: u64,
}

impl Record {
    fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        let class = match status.as_u16() {
            100..200 => StatusClass::Informational,
            200..300 => StatusClass::Success,
            300..400 => StatusClass::Redirect,
            400..500 => StatusClass::ClientError,
            _ => StatusClass::ServerError,
        };
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.requests_total[class].inc();
        self.metrics.request_seconds.observe(seconds);
        if let Some(series) = self.route.as_ref().and_then(|route| route.series.as_ref()) {
            series.requests[class].inc();
            series.seconds.observe(seconds);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // The gauge falls with this record; naming it here keeps it from looking unused.
        let _ = &self.in_flight;
        self.metrics.response_body_bytes_total.inc_by(self.bytes);
        let Some(access) = &self.access else { return };
        let route = self.route.as_ref();
        tracing::info!(
            target: ACCESS_LOG,
            id = access.id,
            peer = %access.peer,
            method = %access.method,
            host = access.host,
            path = access.path,
            route = route.map(|route| &*route.name),
            upstream = route.and_then(|route| route.upstream()).map(|upstream| &*upstream.name),
            status = self.status.map_or(499, |status| status.as_u16()),
            bytes = self.bytes,
            seconds = self.started.elapsed().as_secs_f64(),
            "request"
        );
    }
}

pin_project_lite::pin_project! {
    /// A request under way.
    #[derive(Debug)]
    pub(crate) struct Observing<F> {
        #[pin]
        response: F,
        record: Option<Record>,
    }
}

impl<F, R, E> Future for Observing<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ObservedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        if let Some(record) = this.record {
            record.answered(response.status());
        }
        let record = this.record.take();
        Poll::Ready(Ok(response.map(|body| ObservedBody { body, record })))
    }
}

pin_project_lite::pin_project! {
    /// A response body that counts what is sent of it.
    #[derive(Debug)]
    pub(crate) struct ObservedBody<B> {
        #[pin]
        body: B,
        record: Option<Record>,
    }
}

impl<B: Body> Body for ObservedBody<B>
where
    B::Data: bytes::Buf,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let (Some(Ok(frame)), Some(record)) = (&frame, this.record) {
            let bytes = frame.data_ref().map_or(0, bytes::Buf::remaining);
            record.bytes += bytes as u64;
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
