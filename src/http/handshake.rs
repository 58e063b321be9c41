//! What a request asks to switch to, and what makes a WebSocket handshake, on both exchanges (RFC 6455 section 4).

use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::config::UpgradeProtocol;
use crate::route::Route;

/// Why a request that asks for `Upgrade: websocket` is not a handshake. The client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BadRequest {
    #[error("a WebSocket handshake is a GET request")]
    Method,
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    #[error("a WebSocket handshake has no body")]
    Body,
    #[error("the header Connection must contain Upgrade")]
    Connection,
    #[error("the header Sec-WebSocket-Version must be 13")]
    Version,
    #[error("the header Sec-WebSocket-Key must be there once, 16 bytes in base64")]
    Key,
}

/// Why a 101 of the upstream is refused. The upstream's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BadResponse {
    #[error("the 101 does not say Connection: Upgrade, and Upgrade with the protocol that was asked for")]
    Headers,
    #[error("the 101 has a wrong Sec-WebSocket-Accept")]
    Accept,
}

/// What a request asks to switch to.
#[derive(Debug, Clone)]
pub(crate) enum Protocol {
    WebSocket,
    /// Bytes of which nothing is known.
    Other(UpgradeProtocol),
}

impl Protocol {
    /// As `Upgrade` names it.
    pub(crate) fn name(&self) -> HeaderValue {
        match self {
            Self::WebSocket => HeaderValue::from_static("websocket"),
            Self::Other(protocol) => protocol.name().clone(),
        }
    }
}

/// What a request asks to switch to that its route allows: a WebSocket, or one of the other protocols. Anything else is not
/// switched to: the header is ignored, as RFC 9110 section 7.8 allows, and in HTTP/1.0 demands.
pub(crate) fn asked_protocol<B>(request: &Request<B>, route: &Route) -> Option<Protocol> {
    let headers = request.headers();
    let asked = headers.get(UPGRADE)?;
    route.upstream()?;
    if has_token(headers, UPGRADE, "websocket") {
        return route.websocket.then_some(Protocol::WebSocket);
    }
    let switches = request.version() == Version::HTTP_11 && has_token(headers, CONNECTION, "upgrade");
    let asked = asked.to_str().ok().filter(|_| switches)?;
    let allowed = route.upgrades.iter().find(|protocol| protocol.is(asked));
    allowed.cloned().map(Protocol::Other)
}

/// The key of a proper handshake (section 4.2.1).
pub(crate) fn check_request<B: Body>(request: &Request<B>) -> Result<HeaderValue, BadRequest> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(BadRequest::Method);
    }
    if request.version() != Version::HTTP_11 {
        return Err(BadRequest::HttpVersion);
    }
    if !request.body().is_end_stream() {
        return Err(BadRequest::Body);
    }
    if !has_token(headers, CONNECTION, "upgrade") {
        return Err(BadRequest::Connection);
    }
    if only(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(BadRequest::Version);
    }
    only(headers, SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()))
        .cloned()
        .ok_or(BadRequest::Key)
}

/// Whether a 101 switches to `protocol`, and to no other (RFC 9110 section 7.8).
pub(crate) fn check_switch<B>(response: &Response<B>, protocol: &HeaderValue) -> Result<(), BadResponse> {
    let headers = response.headers();
    let named = protocol.to_str().is_ok_and(|name| has_token(headers, UPGRADE, name));
    if named && has_token(headers, CONNECTION, "upgrade") {
        Ok(())
    } else {
        Err(BadResponse::Headers)
    }
}

/// Whether a 101 proves that the upstream understood the request with this key (section 4.1, the client's checks).
pub(crate) fn check_response<B>(response: &Response<B>, key: &HeaderValue) -> Result<(), BadResponse> {
    check_switch(response, &HeaderValue::from_static("websocket"))?;
    let headers = response.headers();
    let expected = derive_accept_key(key.as_bytes());
    match only(headers, SEC_WEBSOCKET_ACCEPT) {
        Some(accept) if accept.as_bytes() == expected.as_bytes() => Ok(()),
        _ => Err(BadResponse::Accept),
    }
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// 16 bytes in base64 are 22 characters and two of padding.
fn is_key(key: &[u8]) -> bool {
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(base64)
}

/// Whether one of the comma-separated values of a header is `token`, in whatever case.
pub(crate) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|each| each.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    fn request() -> http::request::Builder {
        Request::get("/chat")
            .header("Upgrade", "WebSocket")
            .header("Connection", "keep-alive, Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Version", "13")
    }

    fn check(build: impl FnOnce(&mut Request<Empty<Bytes>>)) -> Result<HeaderValue, BadRequest> {
        let mut request = request().body(Empty::new()).unwrap();
        build(&mut request);
        check_request(&request)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let key = check(|_| {}).expect("RFC 6455 section 1.2");
        let response = Response::builder()
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(check_response(&response.body(()).unwrap(), &key), Ok(()));
    }

    #[test]
    fn each_missing_part_of_a_request_is_named() {
        assert_eq!(check(|r| *r.method_mut() = Method::POST), Err(BadRequest::Method));
        assert_eq!(
            check(|r| *r.version_mut() = Version::HTTP_10),
            Err(BadRequest::HttpVersion)
        );
        let no_upgrade = HeaderValue::from_static("keep-alive");
        assert_eq!(
            check(|r| drop(r.headers_mut().insert(CONNECTION, no_upgrade))),
            Err(BadRequest::Connection)
        );
        let twelve = HeaderValue::from_static("12");
        assert_eq!(
            check(|r| drop(r.headers_mut().insert(SEC_WEBSOCKET_VERSION, twelve))),
            Err(BadRequest::Version)
        );
        assert_eq!(
            check(|r| drop(r.headers_mut().remove(SEC_WEBSOCKET_KEY))),
            Err(BadRequest::Key)
        );
        let short = HeaderValue::from_static("c2hvcnQ=");
        assert_eq!(
            check(|r| drop(r.headers_mut().insert(SEC_WEBSOCKET_KEY, short))),
            Err(BadRequest::Key)
        );
        let body = request().body(Full::new(Bytes::from_static(b"x"))).unwrap();
        assert_eq!(check_request(&body), Err(BadRequest::Body));
    }

    #[test]
    fn a_101_with_another_accept_is_refused() {
        let key = check(|_| {}).unwrap();
        let response = Response::builder()
            .header("Upgrade", "websocket")
            .header("Connection", "upgrade");
        let wrong = response
            .header("Sec-WebSocket-Accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
            .body(())
            .unwrap();
        assert_eq!(check_response(&wrong, &key), Err(BadResponse::Accept));
        assert_eq!(check_response(&Response::new(()), &key), Err(BadResponse::Headers));
    }
}
