//! The service of one connection: a stack of layers around forwarding and upgrading.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Limited;
use hyper::body::Incoming;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutBody;

use super::answer;
use super::body::{self, Appetite, Body, PacedBody};
use super::error::{self, ProxyError};
use super::forward::forward;
use super::handshake::{Protocol, asked_protocol};
use super::head_io::IoState;
use super::layer::{CurrentRoute, IdentifyLayer, ObserveLayer, ObservedBody, RescueLayer};
use super::lease::Lease;
use super::origin::Origin;
use super::unread::NotedBody;
use super::upgrade::{self, UpstreamHalf};
use crate::route::{Action, NoRoute, Route};
use crate::upstream::Upstream;
use crate::worker::{ConnectionRecord, Shared, WorkerContext};

/// Body of what a client gets.
pub(crate) type ResponseBody = ObservedBody<UnsyncBoxBody<bytes::Bytes, BoxError>>;

/// What the service of a connection and the connection itself share.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) worker: Rc<WorkerContext>,
    pub(crate) origin: Origin,
    /// Knows the slice in which a head would begin.
    pub(crate) io: Rc<IoState>,
    /// A request has come.
    pub(crate) asked: Cell<bool>,
    /// The route of the request under way, and what it asks to switch to. On a connection one request follows the other.
    pub(crate) route: CurrentRoute,
    pub(crate) no_route: Cell<Option<NoRoute>>,
    pub(crate) asked_protocol: RefCell<Option<Protocol>>,
    /// What the request under way holds of its upstream, once there is a response.
    pub(crate) lease: RefCell<Option<Lease>>,
    /// How well the client takes responses.
    pub(crate) appetite: Rc<Appetite>,
    /// What its memory is claimed for.
    pub(crate) record: Rc<ConnectionRecord>,
    /// Put here with a 101, taken when the 101 is sent.
    pub(crate) upstream: RefCell<Option<UpstreamHalf>>,
}

/// The service that hyper calls.
pub(crate) struct ConnectionService<S> {
    stack: S,
    exchange: Rc<Exchange>,
}

/// The service of a connection: the layers around [`Router`].
pub(crate) fn connection_service(
    exchange: Rc<Exchange>,
) -> ConnectionService<
    impl Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible, Future: 'static> + Clone,
> {
    let router = Router {
        exchange: Rc::clone(&exchange),
    };
    let stack = layers(&exchange.worker.shared, exchange.origin.peer, &exchange.route, router);
    ConnectionService { stack, exchange }
}

/// From the outside: what is logged includes every refusal, and each failure of a layer becomes a response below the
/// request id.
fn layers<S, B>(
    shared: &Shared,
    peer: SocketAddr,
    route: &CurrentRoute,
    service: S,
) -> impl Service<Request<B>, Response = Response<ResponseBody>, Error = Infallible, Future: 'static> + Clone + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = BoxError, Future: 'static> + Clone + 'static,
    B: 'static,
{
    ServiceBuilder::new()
        .layer(IdentifyLayer)
        .layer(ObserveLayer::new(Arc::clone(&shared.metrics), peer, Rc::clone(route)))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RescueLayer::new(error::respond))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(
            &shared.requests,
        )))
        .service(service)
}

fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a request handler panicked");
    error::failed()
}

impl<S> hyper::service::Service<Request<Incoming>> for ConnectionService<S>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible> + Clone + 'static,
{
    type Response = Response<PacedBody<ResponseBody>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.exchange.asked.set(true);
        self.exchange.io.flow.request_arrived();
        if !request.body().is_end_stream() {
            self.exchange.io.flow.body_begins();
        }
        self.exchange.record.request_begins();
        // Here, and not in a future: hyper may read on before it polls that, and then the slice would be gone.
        let settings = self.exchange.worker.shared.settings.load();
        let route = settings.routes.of(&request);
        let protocol = route.ok().and_then(|route| asked_protocol(&request, route));
        self.exchange.no_route.set(route.err());
        self.exchange.route.replace(route.ok().cloned());
        drop(settings);
        match &protocol {
            Some(_) => self.exchange.io.slot.keep(),
            None => self.exchange.io.slot.forget(),
        }
        self.exchange.asked_protocol.replace(protocol);
        let exchange = Rc::clone(&self.exchange);
        let mut stack = self.stack.clone();
        let response = match stack.ready().now_or_never() {
            Some(Ok(stack)) => stack.call(request),
            None => unreachable!("a stack that sheds load is always ready"),
        };
        Box::pin(async move {
            let response = response.await?;
            exchange.io.informational_written().await;
            let lease = exchange.lease.take();
            let (io, appetite) = (Rc::clone(&exchange.io), Rc::clone(&exchange.appetite));
            Ok(response.map(|body| PacedBody::new(body, io, appetite, lease)))
        })
    }
}

/// Sends upgrades one way and plain requests the other.
#[derive(Debug, Clone)]
struct Router {
    exchange: Rc<Exchange>,
}

impl Service<Request<Incoming>> for Router {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let exchange = Rc::clone(&self.exchange);
        Box::pin(async move { exchange.answer(request).await.map_err(BoxError::from) })
    }
}

impl Exchange {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, ProxyError> {
        let protocol = self.asked_protocol.take();
        let Some(route) = self.route.borrow().clone() else {
            return Err(self.no_route.get().unwrap_or(NoRoute::Path).into());
        };
        match &route.action {
            Action::Respond(config) => Ok(answer::fixed(&route, config)),
            Action::Redirect(config) => Ok(answer::redirect(&route, config, request.uri())),
            Action::Forward(upstream) => match protocol {
                // Apart: it is large, and most requests are not upgrades.
                Some(protocol) => Box::pin(self.upgrade(&route, upstream, &protocol, request)).await,
                None => self.forward(&route, upstream, request).await,
            },
        }
    }

    async fn upgrade(
        &self,
        route: &Arc<Route>,
        upstream: &Arc<Upstream>,
        protocol: &Protocol,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, ProxyError> {
        let request = request.map(|incoming| bounded(incoming, route, &self.io));
        let exchanged = upgrade::exchange(
            &self.worker,
            &self.record,
            route,
            upstream,
            &self.origin,
            protocol,
            request,
        );
        let exchanged = exchanged.await;
        if !matches!(exchanged, Ok((_, upgrade::Outcome::Switched(_)))) {
            // No tunnel comes of it, so no head: the connection goes on with other requests, if any.
            self.io.slot.forget();
        }
        let (response, outcome) = exchanged?;
        match outcome {
            upgrade::Outcome::Switched(half) => drop(self.upstream.replace(Some(half))),
            upgrade::Outcome::Declined(lease) => drop(self.lease.replace(Some(lease))),
        }
        Ok(response)
    }

    async fn forward(
        &self,
        route: &Route,
        upstream: &Upstream,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, ProxyError> {
        let request = request.map(|incoming| bounded(incoming, route, &self.io));
        let (response, lease) = forward(&self.worker, route, upstream, &self.origin, &self.io, request).await?;
        self.lease.replace(Some(lease));
        Ok(response)
    }
}

/// The body of a request, given up when nothing of it comes for as long as `route` says, or more than it allows.
fn bounded(incoming: Incoming, route: &Route, io: &IoState) -> Body {
    if incoming.is_end_stream() {
        return body::empty();
    }
    let noted = NotedBody::new(incoming, io.flow.unread());
    let timed = TimeoutBody::new(route.body_timeout, noted);
    match route.max_body.map(usize::try_from) {
        Some(Ok(most)) => body::boxed(Limited::new(timed, most)),
        _ => body::boxed(timed),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt;

    use super::*;

    async fn status_of<S>(shared: &Shared, service: S) -> StatusCode
    where
        S: Service<Request<()>, Response = Response<Body>, Error = BoxError, Future: 'static> + Clone + 'static,
    {
        let peer = "192.0.2.7:5000".parse().expect("an address");
        let response = layers(shared, peer, &Rc::default(), service)
            .oneshot(Request::new(()))
            .await
            .expect("never fails");
        assert!(
            response.headers().contains_key("x-request-id"),
            "whatever happens, the log can be searched for it"
        );
        let status = response.status();
        response.into_body().collect().await.expect("a body");
        status
    }

    #[tokio::test]
    async fn a_panic_becomes_500_and_leaves_no_request_behind() {
        let shared = Shared::for_test(1, 1);
        let service = tower::service_fn(|_: Request<()>| async { panic!("as if by a bug") });
        assert_eq!(status_of(&shared, service).await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(shared.metrics.requests_in_flight.get(), 0);
        assert_eq!(shared.requests.available_permits(), 1);
    }

    #[tokio::test]
    async fn past_the_limit_requests_are_shed_with_503() {
        let shared = Shared::for_test(1, 0);
        let service = tower::service_fn(|_: Request<()>| async { Ok(Response::new(body::empty())) });
        assert_eq!(status_of(&shared, service).await, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn an_error_that_nobody_knows_is_not_taken_for_overload() {
        let shared = Shared::for_test(1, 1);
        let service = tower::service_fn(|_: Request<()>| async { Err(BoxError::from("as if by a new layer")) });
        assert_eq!(status_of(&shared, service).await, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn an_error_becomes_its_status() {
        let shared = Shared::for_test(1, 1);
        let service = tower::service_fn(|_: Request<()>| async {
            let limit = std::time::Duration::from_secs(1);
            Err(BoxError::from(ProxyError::ResponseTimeout { limit }))
        });
        assert_eq!(status_of(&shared, service).await, StatusCode::GATEWAY_TIMEOUT);
    }
}
