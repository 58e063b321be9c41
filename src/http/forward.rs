//! Plain requests: to the upstream and back, bodies streamed both ways.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use tower::BoxError;

use super::body::{self, Body};
use super::error::ProxyError;
use super::headers::{self, Origin};
use crate::route::Route;
use crate::worker::WorkerContext;

/// Forwards `request` and returns the response with its body still streaming.
pub(crate) async fn forward<B>(
    worker: &WorkerContext,
    route: &Route,
    origin: Origin,
    mut request: Request<B>,
) -> Result<Response<Body>, ProxyError>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Send + 'static,
{
    if request.method() == Method::CONNECT {
        return Err(ProxyError::Connect);
    }
    prepare(&mut request, origin, route)?;
    // The pool's key is the configuration's generation: the connector chooses the server.
    let authority = format!("upstream-{}", route.upstream.generation);
    *request.uri_mut() = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query(path(request.uri()))
        .build()
        .map_err(|error| ProxyError::Upstream(error.into()))?;
    let metrics = Arc::clone(&worker.shared.metrics);
    let request = request.map(|body| {
        body::boxed(body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            metrics.request_body_bytes_total.inc_by(bytes as u64);
            frame
        }))
    });
    let response = worker
        .client(&route.upstream)
        .request(request)
        .await
        .map_err(ProxyError::of_client)?;
    let mut response = response.map(body::boxed);
    headers::remove_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}

/// Makes the head of a request ready for the upstream; its target becomes a path (RFC 9112 section 3.2.1).
pub(crate) fn prepare<B>(request: &mut Request<B>, origin: Origin, route: &Route) -> Result<(), ProxyError> {
    set_host(request)?;
    headers::prepare_request(request.headers_mut(), origin, route.forwarded);
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}

pub(crate) fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// One valid Host, which an absolute target overrides (RFC 9112 section 3.2); HTTP/1.0 may do without.
fn set_host<B>(request: &mut Request<B>) -> Result<(), ProxyError> {
    let from_target = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = from_target {
        let host = HeaderValue::try_from(authority).map_err(|_| ProxyError::BadHost)?;
        request.headers_mut().insert(HOST, host);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.is_empty() || Authority::try_from(host.as_bytes()).is_ok() => Ok(()),
        (None, _) if request.version() == Version::HTTP_10 => Ok(()),
        _ => Err(ProxyError::BadHost),
    }
}
