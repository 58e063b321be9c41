//! The service of one connection: a stack of layers around forwarding and upgrading.

use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutBody;

use super::body::{self, Body};
use super::error::{self, ProxyError};
use super::forward::forward;
use super::handshake::wants_websocket;
use super::headers::Origin;
use super::upgrade::{self, UpstreamHalf};
use super::worker::WorkerContext;
use crate::labels::UpstreamFailure;
use crate::layer::{NoResponse, ObserveLayer, ObservedBody, RescueLayer, ResponseTimeoutLayer};
use crate::slab::HeadSlot;

/// Body of what a client gets.
pub(crate) type ResponseBody = ObservedBody<UnsyncBoxBody<bytes::Bytes, BoxError>>;

/// What the service of a connection and the connection itself share.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) worker: Rc<WorkerContext>,
    pub(crate) origin: Origin,
    /// Knows the slice in which a head would begin.
    pub(crate) slot: Rc<HeadSlot>,
    /// Put here with a 101, taken when the 101 is sent.
    pub(crate) upstream: RefCell<Option<UpstreamHalf>>,
}

/// The service that hyper calls.
pub(crate) struct ConnectionService<S> {
    stack: S,
    exchange: Rc<Exchange>,
}

/// The layers around [`Router`], from the outside: what is logged includes every refusal, and each failure of a layer
/// becomes a response below the request id.
pub(crate) fn connection_service(
    exchange: Rc<Exchange>,
) -> ConnectionService<
    impl Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible, Future: 'static> + Clone,
> {
    let shared = &exchange.worker.shared;
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(ObserveLayer::new(Arc::clone(&shared.metrics), exchange.origin.peer))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(RescueLayer::new(error::respond))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(
            &shared.requests,
        )))
        .service(Router {
            exchange: Rc::clone(&exchange),
        });
    ConnectionService { stack, exchange }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a request handler panicked");
    error::panicked()
}

impl<S> hyper::service::Service<Request<Incoming>> for ConnectionService<S>
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = Infallible> + Clone + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // Here, and not in a future: hyper may read on before it polls that, and then the slice would be gone.
        if wants_websocket(&request) {
            self.exchange.slot.keep();
        } else {
            self.exchange.slot.forget();
        }
        Box::pin(self.stack.clone().oneshot(request))
    }
}

/// Tells upgrades and plain requests apart.
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
        Box::pin(async move {
            let metrics = Arc::clone(&exchange.worker.shared.metrics);
            let result = if wants_websocket(&request) {
                exchange.upgrade(request).await
            } else {
                exchange.forward(request).await
            };
            if let Err(error) = &result {
                let failure = match error.downcast_ref::<ProxyError>() {
                    Some(error) => error.upstream_failure(),
                    None if error.is::<NoResponse>() => Some(UpstreamFailure::ResponseTimeout),
                    None => None,
                };
                if let Some(failure) = failure {
                    metrics.upstream_failures_total[failure].inc();
                }
            }
            result
        })
    }
}

impl Exchange {
    async fn upgrade(&self, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let settings = self.worker.shared.settings.load_full();
        let (response, half) = upgrade::exchange(&self.worker, &settings, self.origin, request).await?;
        self.upstream.replace(half);
        Ok(response)
    }

    async fn forward(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Body>, BoxError> {
        let settings = self.worker.shared.settings.load_full();
        let limit = settings.config.upstream.response_timeout;
        let pause = settings.config.http.body_timeout;
        let service = tower::service_fn(move |request| {
            let (this, settings) = (Rc::clone(&self), Arc::clone(&settings));
            async move {
                forward(&this.worker, &settings, this.origin, request)
                    .await
                    .map_err(BoxError::from)
            }
        });
        let request = request.map(|incoming| body::boxed(TimeoutBody::new(pause, incoming)));
        ResponseTimeoutLayer::new(limit).layer(service).oneshot(request).await
    }
}
