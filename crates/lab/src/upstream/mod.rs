//! `headpin upstream`: the origin for demos, tests and the lab.
//!
//! ```text
//!  accept ─► HTTP/1.1 (hyper) ─► service ─┬─► hello, upload, download, publish
//!                                         ├─► GET /push/<client-id>  ─► chunked stream ─┐
//!                                         └─► upgrade ─► session (a task of its own)    │
//!                                              echo, greeting, /push/<client-id> ───────┤
//!                                                                                       ▼
//!                          one Redis subscriber, or POST /publish/<client-id> ─► hub: client id ─► mailboxes
//! ```
//!
//! It runs on the runtime of its caller. An idle session keeps the WebSocket's read buffer of 4 KiB and little else:
//! the future that spoke HTTP is gone by then.

mod body;
mod broker;
mod cork;
mod hub;
mod mailbox;
mod service;
mod session;
mod subscriber;

use std::io;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use broker::Broker;
pub use broker::BrokerError;
use cork::Cork;
use service::Service;

/// The text that `/greet` sends in the same write as its 101.
pub const GREETING: &str = "hello from headpin upstream";

/// How long a client may take to send its request's header.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// The longest pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What the demo origin is made of.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// `redis://…`: pushed messages come from the pub/sub channels of this Redis. Defaults to none: the embedded broker.
    pub redis: Option<String>,
    /// The largest WebSocket message that is echoed, in bytes. Defaults to 64 MiB; a larger one closes with 1009.
    pub max_message: usize,
    /// How long connections may take to end once `shutdown` is cancelled. Defaults to 5 s; then they are cut.
    pub grace: Duration,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self {
            redis: None,
            max_message: 64 << 20,
            grace: Duration::from_secs(5),
        }
    }
}

/// Why the demo origin does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The broker cannot be had; usually Redis is not there, or its address is wrong.
    #[error("no broker for pushed messages")]
    Broker(#[from] BrokerError),
}

/// An origin that has its broker, and serves nobody yet.
#[derive(Debug)]
pub struct Origin {
    service: Service,
    tasks: TaskTracker,
    grace: Duration,
    shutdown: CancellationToken,
}

impl Origin {
    /// Connects to Redis, if one is asked for.
    ///
    /// # Errors
    /// If it cannot be reached. A Redis that goes away later does not end the origin.
    ///
    /// # Cancel safety
    /// Safe: dropping the future leaves nothing behind.
    pub async fn start(options: UpstreamOptions, shutdown: CancellationToken) -> Result<Self, UpstreamError> {
        let tasks = TaskTracker::new();
        let broker = Broker::start(options.redis.as_deref(), &tasks, &shutdown).await?;
        let grace = options.grace;
        Ok(Self {
            service: Service::new(broker, options, tasks.clone(), shutdown.clone()),
            tasks,
            grace,
            shutdown,
        })
    }

    /// Serves until `shutdown` is cancelled, then closes every WebSocket with 1001 and waits for the rest, at most the
    /// grace.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting; connections that are open live on in their own tasks. Cancel `shutdown`
    /// instead.
    pub async fn serve(self, listener: TcpListener) {
        let Self {
            service,
            tasks,
            grace,
            shutdown,
        } = self;
        let mut pause = Duration::ZERO;
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    pause = Duration::ZERO;
                    tasks.spawn(connection(stream, service.clone(), grace, shutdown.clone()));
                }
                Err(error) if peer_aborted(&error) => {}
                Err(error) => {
                    pause = (pause * 2).clamp(Duration::from_millis(5), ACCEPT_PAUSE_MAX);
                    tracing::warn!(%error, ?pause, "cannot accept");
                    shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
            }
        }
        drop(listener);
        service.close_pushes();
        tasks.close();
        tasks.wait().await;
    }
}

/// [`Origin::start`] and [`Origin::serve`].
///
/// # Errors
/// Those of [`Origin::start`].
///
/// # Cancel safety
/// That of [`Origin::serve`].
pub async fn serve(
    listener: TcpListener,
    options: UpstreamOptions,
    shutdown: CancellationToken,
) -> Result<(), UpstreamError> {
    Origin::start(options, shutdown).await?.serve(listener).await;
    Ok(())
}

/// Speaks HTTP on one connection until it ends or is upgraded.
async fn connection(stream: TcpStream, service: Service, grace: Duration, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let (cork, switch) = Cork::new(stream);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(cork), service.for_connection(switch))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(grace, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Errors of one connection that accept reports; the listener is well.
fn peer_aborted(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
