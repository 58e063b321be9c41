//! Answers requests.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::UpstreamOptions;
use super::body::UpstreamBody;
use super::broker::{Broker, BrokerError};
use super::cork::CorkSwitch;
use super::hub::ClientId;
use super::session::{self, Opening, SessionLimits};
use crate::pattern::Position;
use crate::units::parse_bytes;

const HELLO: &str = "This is the demo origin of headpin.

  any other path, WebSocket   echoes every message
  /greet, WebSocket           the same, after a greeting that comes in one write with the 101
  /greet/{n}, WebSocket       the same, with a greeting of n bytes
  /push/{client-id}           that client's messages: as a WebSocket, or as a response that goes on, a line each
  POST /publish/{client-id}   pushes the body to that client; answers {\"receivers\": n}
  POST /upload                takes any body; answers {\"bytes\": n}
  GET /download/{n}           n bytes of a fixed pattern; n as in 4096, 64KiB, 10MiB
  /upload, WebSocket          counts binary messages; a text message is answered with {\"bytes\": n}
  /download, WebSocket        a text message n is answered with n bytes of the pattern
";

/// The largest message that can be published, in bytes.
const PUBLISH_MAX: usize = 1 << 20;

/// The largest greeting, in bytes.
const GREETING_MAX: u64 = 16 << 20;

/// What every connection shares.
#[derive(Clone, Debug)]
pub(super) struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    broker: Arc<Broker>,
    limits: SessionLimits,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

type Answer = Response<UpstreamBody>;

impl Service {
    pub(super) fn new(
        broker: Arc<Broker>,
        options: UpstreamOptions,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let UpstreamOptions {
            redis: _,
            max_message,
            grace,
        } = options;
        Self(Arc::new(Shared {
            broker,
            limits: SessionLimits { max_message, grace },
            tasks,
            shutdown,
        }))
    }

    /// Ends every push, so that the connections that carry them can end.
    pub(super) fn close_pushes(&self) {
        self.0.broker.close();
    }

    /// The service of one connection, whose responses `cork` can hold back.
    pub(super) fn for_connection(
        self,
        cork: CorkSwitch,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Answer,
        Error = Infallible,
        Future = impl Future<Output = Result<Answer, Infallible>>,
    > {
        service_fn(move |request| {
            let (service, cork) = (self.clone(), cork.clone());
            async move {
                Ok(service
                    .answer(request, &cork)
                    .await
                    .unwrap_or_else(Refusal::into_answer))
            }
        })
    }

    async fn answer(&self, request: Request<Incoming>, cork: &CorkSwitch) -> Result<Answer, Refusal> {
        if request.headers().contains_key(http::header::SEC_WEBSOCKET_KEY) {
            return self.upgrade(request, cork).await;
        }
        let uri = request.uri().clone();
        let (first, rest) = endpoint(&uri);
        match (request.method(), first, rest) {
            (&Method::GET | &Method::HEAD, "", "") => Ok(text(StatusCode::OK, HELLO)),
            (&Method::POST | &Method::PUT, "upload", "") => upload(request.into_body()).await,
            (&Method::GET | &Method::HEAD, "download", size) => download(size),
            (&Method::GET, "push", id) => {
                let subscription = self.0.broker.subscribe(client_id(id)?).await?;
                Ok(typed("text/plain; charset=utf-8", UpstreamBody::Push(subscription)))
            }
            (&Method::POST, "publish", id) => self.publish(client_id(id)?, request.into_body()).await,
            (_, "upload" | "publish", _) => Err(Refusal::Method("POST")),
            (_, "" | "download" | "push", _) => Err(Refusal::Method("GET")),
            _ => Err(Refusal::Unknown),
        }
    }

    async fn publish(&self, id: ClientId, body: Incoming) -> Result<Answer, Refusal> {
        let body = http_body_util::Limited::new(body, PUBLISH_MAX).collect().await;
        let message = body.map_err(|_| Refusal::TooLarge)?.to_bytes();
        let receivers = self.0.broker.publish(&id, message).await?;
        Ok(json(format!("{{\"receivers\": {receivers}}}\n")))
    }

    async fn upgrade(&self, mut request: Request<Incoming>, cork: &CorkSwitch) -> Result<Answer, Refusal> {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let request = request.map(drop);
        let response = create_response(&request).map_err(|fault| Refusal::Handshake(fault.to_string()))?;
        let opening = match endpoint(request.uri()) {
            ("greet", "") => Opening::Greet(None),
            ("greet", size) => Opening::Greet(Some(greeting_size(size)?)),
            ("upload", "") => Opening::Upload,
            ("download", "") => Opening::Download,
            ("push", id) => Opening::Push(self.0.broker.subscribe(client_id(id)?).await?),
            _ => Opening::Echo,
        };
        if matches!(opening, Opening::Greet(_)) {
            cork.hold();
        }
        let Shared {
            limits,
            tasks,
            shutdown,
            ..
        } = &*self.0;
        tasks.spawn(session::start(
            on_upgrade,
            opening,
            limits.clone(),
            tasks.clone(),
            shutdown.clone(),
        ));
        Ok(response.map(|()| UpstreamBody::EMPTY))
    }
}

/// The path's first segment, and what follows it.
fn endpoint(uri: &Uri) -> (&str, &str) {
    let path = uri.path().trim_start_matches('/');
    path.split_once('/').unwrap_or((path, ""))
}

async fn upload(mut body: Incoming) -> Result<Answer, Refusal> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.map_err(|_| Refusal::CutShort)?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(json(format!("{{\"bytes\": {bytes}}}\n")))
}

fn download(size: &str) -> Result<Answer, Refusal> {
    let left = parse_bytes(size).map_err(Refusal::Malformed)?;
    Ok(typed(
        "application/octet-stream",
        UpstreamBody::Pattern {
            position: Position::start(),
            left,
        },
    ))
}

fn greeting_size(text: &str) -> Result<usize, Refusal> {
    let bytes = parse_bytes(text).map_err(Refusal::Malformed)?;
    if bytes > GREETING_MAX {
        return Err(Refusal::TooLarge);
    }
    usize::try_from(bytes).map_err(|_| Refusal::TooLarge)
}

fn client_id(text: &str) -> Result<ClientId, Refusal> {
    ClientId::parse(text).ok_or_else(|| {
        Refusal::Malformed(format!(
            "{text:?} is no client id; accepted: 1 to 128 letters, digits, or -._~:"
        ))
    })
}

/// Why a request is not served.
enum Refusal {
    Unknown,
    Method(&'static str),
    Malformed(String),
    Handshake(String),
    TooLarge,
    CutShort,
    Broker(BrokerError),
}

impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Refusal {
    fn into_answer(self) -> Answer {
        match self {
            Self::Unknown => text(StatusCode::NOT_FOUND, HELLO),
            Self::Method(accepted) => {
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("accepted here: {accepted}\n"));
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static(accepted));
                answer
            }
            Self::Malformed(fault) | Self::Handshake(fault) => text(StatusCode::BAD_REQUEST, fault + "\n"),
            Self::TooLarge => text(StatusCode::PAYLOAD_TOO_LARGE, "too large\n"),
            Self::CutShort => text(StatusCode::BAD_REQUEST, "the body was cut short\n"),
            Self::Broker(error) => {
                let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                answer
            }
        }
    }
}

fn json(body: String) -> Answer {
    typed("application/json", UpstreamBody::Whole(body.into()))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = typed("text/plain; charset=utf-8", UpstreamBody::Whole(body.into()));
    *answer.status_mut() = status;
    answer
}

fn typed(content_type: &'static str, body: UpstreamBody) -> Answer {
    let mut answer = Response::new(body);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
