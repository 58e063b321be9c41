//! A connection to an upstream server that is read in slices, for tunnels.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use headpin_slab::{SlabClass, SlabReader, SlabSlice, SliceRead, WorkerSlabs};
use headpin_tls::{Client, SlabStream};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::socket::Socket;
use crate::observe::metrics::GaugeGuard;

/// A connection to an upstream server, in clear or in TLS, that is read into the worker's tcp slab; counted while it lives.
#[derive(Debug)]
pub struct UpstreamSlices {
    /// TLS apart: a tunnel has room for the other, which most are.
    kind: Either<SlabReader<Socket>, Box<SlabStream<TcpStream, Client>>>,
    _open: GaugeGuard,
}

impl UpstreamSlices {
    pub(super) fn plain(socket: Socket, slabs: Rc<WorkerSlabs>, open: GaugeGuard) -> Self {
        Self {
            kind: Either::Left(SlabReader::new(socket, slabs)),
            _open: open,
        }
    }

    pub(super) fn tls(stream: SlabStream<TcpStream, Client>, open: GaugeGuard) -> Self {
        Self {
            kind: Either::Right(Box::new(stream)),
            _open: open,
        }
    }

    /// From now on it carries frames: it lives long, and keeps nothing for later connections.
    pub fn begin_tunnel(&mut self) {
        if let Either::Right(stream) = &mut self.kind {
            stream.end_tickets();
        }
    }
}

impl SliceRead for UpstreamSlices {
    #[inline]
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>> {
        match &mut self.kind {
            Either::Left(stream) => stream.poll_read_slice(cx, most),
            Either::Right(stream) => stream.poll_read_slice(cx, most),
        }
    }

    fn slabs(&self) -> &Rc<WorkerSlabs> {
        match &self.kind {
            Either::Left(stream) => stream.slabs(),
            Either::Right(stream) => stream.slabs(),
        }
    }

    fn class(&self) -> SlabClass {
        SlabClass::Tcp
    }
}

/// By hand, as Either's own are calls that the compiler does not see through.
impl AsyncWrite for UpstreamSlices {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Either::Left(stream) => Pin::new(stream).poll_write(cx, bytes),
            Either::Right(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Either::Left(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Either::Right(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Either::Left(stream) => stream.is_write_vectored(),
            Either::Right(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Either::Left(stream) => Pin::new(stream).poll_flush(cx),
            Either::Right(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Either::Left(stream) => Pin::new(stream).poll_shutdown(cx),
            Either::Right(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
