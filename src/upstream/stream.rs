//! A connection to an upstream server, for plain requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use headpin_slab::forward_async_write;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::socket::Socket;
use crate::observe::metrics::GaugeGuard;

/// A connection to an upstream server, in clear or in TLS; counted while it lives.
#[derive(Debug)]
pub struct UpstreamStream {
    kind: Either<Socket, Box<TlsStream<TcpStream>>>,
    _open: GaugeGuard,
}

impl UpstreamStream {
    pub(super) fn plain(socket: Socket, open: GaugeGuard) -> Self {
        Self {
            kind: Either::Left(socket),
            _open: open,
        }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, open: GaugeGuard) -> Self {
        Self {
            kind: Either::Right(Box::new(stream)),
            _open: open,
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.kind).poll_read(cx, into)
    }
}

impl AsyncWrite for UpstreamStream {
    forward_async_write!(kind);
}
