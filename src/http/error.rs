//! Why a request could not be served, and the one place where that becomes a status code.

use std::time::Duration;

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Method, Response, StatusCode};
use tower::BoxError;
use tower::load_shed::error::Overloaded;

use super::body::{self, Body};
use super::framing::BadFraming;
use super::handshake::{BadRequest, BadResponse};
use super::target::BadTarget;
use crate::config::HumanDuration;
use crate::observe::labels::{UpgradeResult, UpstreamFailure};
use crate::route::{AmbiguousPrefix, NoRoute, Route};
use crate::upstream::DialError;

/// Seconds after which a client may try again when there were too many requests.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Methods that are passed on, with all that are not known here.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProxyError {
    /// The client's fault: not a WebSocket handshake.
    #[error("the upgrade request is refused")]
    BadUpgrade(#[from] BadRequest),
    /// The client's fault.
    #[error(transparent)]
    BadTarget(#[from] BadTarget),
    /// The client's fault.
    #[error(transparent)]
    BadFraming(#[from] BadFraming),
    /// The client's fault: this is not a forward proxy, and nobody is to see what it adds to a request.
    #[error("{0} is not supported")]
    Method(Method),
    /// The client's fault: nothing is served there, or it cannot be told what is.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// The client's fault.
    #[error(transparent)]
    BadPath(#[from] AmbiguousPrefix),
    /// The client's fault, or that of the page which it shows.
    #[error("pages of this origin may not open WebSockets here")]
    Origin,
    /// The client's fault.
    #[error("the request body is larger than {most} bytes, which is max_body of its route")]
    BodyTooLarge {
        /// In bytes.
        most: u64,
    },
    /// Every server is as busy as it may be.
    #[error("{0}")]
    Full(DialError),
    /// The client's fault: its body paused for longer than `http.body_timeout`.
    #[error("the request body stalled: nothing of it came for {}, which is body_timeout", HumanDuration(*.limit))]
    BodyTimeout {
        /// The longest pause.
        limit: Duration,
    },
    /// The client's fault, usually that it went away: its body broke off.
    #[error("the request body broke off")]
    BodyBroken,
    /// The upstream's fault.
    #[error("no upstream server can be reached")]
    Unreachable {
        /// The last server did not connect in time.
        timed_out: bool,
        /// What was wrong with it.
        #[source]
        source: BoxError,
    },
    /// The upstream's fault: the connection broke, or what came is no HTTP.
    #[error("the upstream did not answer in HTTP")]
    Upstream(#[source] BoxError),
    /// The upstream's fault, or a bound that is too low.
    #[error(
        "the head of the upstream's response is larger than headpin reads, or has more than http.max_headers fields"
    )]
    LargeHead(#[source] BoxError),
    /// The upstream's fault: what its body is cannot be known.
    #[error("the upstream's response is refused: {0}")]
    BadResponseFraming(BadFraming),
    /// The upstream's fault: it switches protocols that nobody wants to switch.
    #[error("the upstream answered 101 to a request that asks for no upgrade")]
    UnaskedSwitch,
    /// The upstream's fault: no answer within `response_timeout`.
    #[error("the upstream did not answer within {}, which is response_timeout", HumanDuration(*.limit))]
    ResponseTimeout {
        /// The longest silence.
        limit: Duration,
    },
    /// The upstream's fault: its 101 proves nothing.
    #[error("the upstream's 101 is refused")]
    BadSwitch(#[from] BadResponse),
}

impl From<DialError> for ProxyError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Full { .. } => Self::Full(error),
            error => Self::Unreachable {
                timed_out: matches!(error, DialError::Timeout { .. }),
                source: error.into(),
            },
        }
    }
}

impl ProxyError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadUpgrade(BadRequest::Version) => StatusCode::UPGRADE_REQUIRED,
            Self::BadFraming(BadFraming::Coding(_)) => StatusCode::NOT_IMPLEMENTED,
            Self::NoRoute(NoRoute::Path) => StatusCode::NOT_FOUND,
            Self::NoRoute(NoRoute::Host) => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadUpgrade(_)
            | Self::BadTarget(_)
            | Self::BadFraming(_)
            | Self::BadPath(_)
            | Self::NoRoute(NoRoute::Ambiguous | NoRoute::AboveRoot)
            | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Unreachable { timed_out: true, .. } | Self::ResponseTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable { .. }
            | Self::Upstream(_)
            | Self::LargeHead(_)
            | Self::BadSwitch(_)
            | Self::UnaskedSwitch
            | Self::BadResponseFraming(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// What an upgrade that failed so is counted as.
    pub(crate) fn upgrade_result(&self) -> UpgradeResult {
        match self {
            Self::Unreachable { timed_out: true, .. } | Self::ResponseTimeout { .. } => UpgradeResult::Timeout,
            Self::Upstream(cause) if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) => {
                UpgradeResult::BadResponse
            }
            Self::Unreachable { .. } | Self::Upstream(_) | Self::Full(_) => UpgradeResult::Unreachable,
            Self::BadSwitch(_) | Self::LargeHead(_) | Self::BadResponseFraming(_) => UpgradeResult::BadResponse,
            _ => UpgradeResult::BadRequest,
        }
    }

    /// What of it is the upstream's failure and not counted by the dialer.
    pub(crate) fn upstream_failure(&self) -> Option<UpstreamFailure> {
        match self {
            Self::Upstream(_)
            | Self::LargeHead(_)
            | Self::BadSwitch(_)
            | Self::UnaskedSwitch
            | Self::BadResponseFraming(_) => Some(UpstreamFailure::Protocol),
            Self::ResponseTimeout { .. } => Some(UpstreamFailure::ResponseTimeout),
            _ => None,
        }
    }

    /// Whether the connection ended before anything came of an answer.
    pub(crate) fn is_broken_off(&self) -> bool {
        let Self::Upstream(cause) = self else { return false };
        let error = cause.downcast_ref::<hyper::Error>();
        error.is_some_and(|error| {
            error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_reset(error)
        })
    }

    /// Whether nothing came of an answer, because the connection ended or the server was silent.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::ResponseTimeout { .. }) || self.is_broken_off()
    }

    /// There is nobody to ask.
    pub(crate) fn no_server() -> Self {
        DialError::NoServer.into()
    }

    /// Finds out what made an exchange with a server fail, for a request of `route`.
    pub(crate) fn of_exchange(error: hyper::Error, route: &Route) -> Self {
        if error.is_parse_too_large() {
            return Self::LargeHead(error.into());
        }
        if !error.is_user() {
            return Self::Upstream(error.into());
        }
        // The request's body failed, as the client did not send it.
        let mut cause = std::error::Error::source(&error);
        while let Some(this) = cause {
            if this.is::<tower_http::timeout::TimeoutError>() {
                return Self::BodyTimeout {
                    limit: route.body_timeout,
                };
            }
            if this.is::<http_body_util::LengthLimitError>() {
                return Self::BodyTooLarge {
                    most: route.max_body.unwrap_or(u64::MAX),
                };
            }
            cause = this.source();
        }
        Self::BodyBroken
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        matches!(error.kind(), ConnectionReset | BrokenPipe)
    })
}

/// The response for whatever a layer or the service failed with.
pub(crate) fn respond(error: &BoxError) -> Response<Body> {
    if let Some(error) = error.downcast_ref::<ProxyError>() {
        return respond_to(error);
    }
    if error.is::<Overloaded>() {
        let text = "headpin already serves as many requests as http.max_requests allows; try again";
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text.into());
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        return response;
    }
    // No layer should fail with anything else. If one does, that is this program's fault, and not a matter of load.
    tracing::error!(
        error = &**error as &dyn std::error::Error,
        "a request failed for an unknown reason"
    );
    failed()
}

/// The response when a handler panicked, or failed with an error that nobody knows.
pub(crate) fn failed() -> Response<Body> {
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "headpin failed; its log says why".into(),
    )
}

fn respond_to(error: &ProxyError) -> Response<Body> {
    let status = error.status();
    let cause = error as &dyn std::error::Error;
    if status.is_server_error() {
        tracing::warn!(error = cause, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(error = cause, status = status.as_u16(), "request refused");
    }
    // The client learns what is wrong with its request; what is wrong behind the proxy is for the log.
    let text = match error {
        ProxyError::BadUpgrade(why) => format!("{error}: {why}"),
        _ => error.to_string(),
    };
    let mut response = plain(status, text);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 section 15.5.6. What of these a resource allows, its server knows.
        response.headers_mut().insert(ALLOW, ALLOWED);
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(body::text(text + "\n"));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
