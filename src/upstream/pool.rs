//! The pool of upstream connections for plain requests.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::dial::{DialError, Dialer};
use super::heads::HeadForm;
use super::pace::{PacedReader, ReadPace};
use super::stream::UpstreamStream;

/// The maximum that hyper reads ahead of a response that the client does not take, in bytes.
pub const MAX_BUFFER: usize = 64 * 1024;

/// Body of a forwarded request.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A worker's client for plain requests, with keep-alive.
pub type PooledClient = Client<DialingConnector, RequestBody>;

/// Makes a worker's client.
pub(super) fn pooled_client(
    idle_timeout: Duration,
    max_idle: usize,
    heads: HeadForm,
    dialer: Arc<Dialer>,
) -> PooledClient {
    let mut builder = Client::builder(TokioExecutor::new());
    heads.pool(&mut builder);
    builder
        .http1_max_buf_size(MAX_BUFFER)
        .pool_idle_timeout(idle_timeout)
        .pool_max_idle_per_host(max_idle)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(DialingConnector { dialer })
}

/// Connects to the server whose name in the pool is the host of the request's URI.
#[derive(Debug, Clone)]
pub struct DialingConnector {
    dialer: Arc<Dialer>,
}

impl tower::Service<Uri> for DialingConnector {
    type Response = PooledConnection;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<PooledConnection, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = Arc::clone(&self.dialer);
        Box::pin(async move {
            let stream = dialer.dial_key(uri.host().unwrap_or_default()).await?;
            Ok(PooledConnection::new(stream))
        })
    }
}

/// An upstream connection in the pool. hyper reads it straight into its own buffer, at a pace that the responses carry as an
/// extension: there is no slab between, because no head can come of a plain request.
#[derive(Debug)]
pub struct PooledConnection {
    io: UpstreamIo,
    pace: ReadPace,
}

type UpstreamIo = TokioIo<PacedReader<UpstreamStream>>;

impl PooledConnection {
    pub(super) fn new(stream: UpstreamStream) -> Self {
        let pace = ReadPace::default();
        let io = TokioIo::new(PacedReader::new(stream, pace.clone()));
        Self { io, pace }
    }

    /// Sets how much is read of it at once.
    #[must_use]
    pub fn pace(&self) -> ReadPace {
        self.pace.clone()
    }

    fn io(&mut self) -> Pin<&mut UpstreamIo> {
        Pin::new(&mut self.io)
    }
}

impl Connection for PooledConnection {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.pace.clone())
    }
}

impl Read for PooledConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, into)
    }
}

impl Write for PooledConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}
