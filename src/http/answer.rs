//! Answers that a route gives by itself.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode, Uri};

use super::body::{self, Body};
use super::headers;
use super::target;
use crate::config::{RedirectConfig, RespondConfig};
use crate::route::Route;

/// The answer of `route` that the config has in full.
pub(crate) fn fixed(route: &Route, config: &RespondConfig) -> Response<Body> {
    let mut response = Response::new(body::text(config.body.clone()));
    *response.status_mut() = status(config.status);
    if !config.body.is_empty() {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, config.content_type.value().clone());
    }
    headers::change(response.headers_mut(), route.response_headers.as_ref());
    response
}

/// The answer that sends a client which asked for `uri` elsewhere.
pub(crate) fn redirect(route: &Route, config: &RedirectConfig, uri: &Uri) -> Response<Body> {
    let location = config.to.location(target::path(uri).as_str());
    let mut response = Response::new(body::empty());
    *response.status_mut() = status(config.status);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    headers::change(response.headers_mut(), route.response_headers.as_ref());
    response
}

/// A status that the config has checked.
fn status(number: usize) -> StatusCode {
    let status = u16::try_from(number)
        .ok()
        .and_then(|number| StatusCode::from_u16(number).ok());
    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
