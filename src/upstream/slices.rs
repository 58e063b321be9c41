//! A connection to an upstream server that is read in slices, for tunnels.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use headpin_slab::{SlabClass, SlabReader, SlabSlice, SliceRead, WorkerSlabs};
use headpin_tls::{Client, SlabStream, TlsBuffers};
use tokio::io::AsyncWrite;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::socket::Socket;
use crate::handed::UpstreamState;
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

impl UpstreamSlices {
    /// What another process needs to go on with it; `None` if none can.
    #[must_use]
    pub fn state(&self) -> Option<UpstreamState> {
        Some(match &self.kind {
            Either::Left(reader) => match reader.io() {
                Socket::Tcp(_) => UpstreamState::Tcp,
                Socket::Unix(_) => UpstreamState::Unix,
            },
            Either::Right(stream) => UpstreamState::Tls(Box::new(stream.state()?)),
        })
    }

    /// The socket, for who has taken [`Self::state`].
    ///
    /// # Errors
    /// What the runtime reports; then the connection is closed.
    pub fn into_socket(self) -> io::Result<OwnedFd> {
        match self.kind {
            Either::Left(reader) => match reader.into_io() {
                Socket::Tcp(socket) => socket.into_std().map(OwnedFd::from),
                Socket::Unix(socket) => socket.into_std().map(OwnedFd::from),
            },
            Either::Right(stream) => stream.into_io().into_std().map(OwnedFd::from),
        }
    }

    /// Goes on over `socket` where another process was.
    ///
    /// # Errors
    /// When `state` is of no such stream, or the runtime does not take the socket.
    pub fn resume(
        socket: OwnedFd,
        state: &UpstreamState,
        slabs: &Rc<WorkerSlabs>,
        buffers: &Rc<TlsBuffers>,
        open: GaugeGuard,
    ) -> io::Result<Self> {
        let slabs = Rc::clone(slabs);
        Ok(match state {
            UpstreamState::Tcp => Self::plain(Socket::Tcp(TcpStream::from_std(socket.into())?), slabs, open),
            UpstreamState::Unix => Self::plain(Socket::Unix(UnixStream::from_std(socket.into())?), slabs, open),
            UpstreamState::Tls(state) => {
                let socket = TcpStream::from_std(socket.into())?;
                let stream = SlabStream::resume(socket, state, Rc::clone(buffers)).map_err(io::Error::other)?;
                Self::tls(stream, open)
            }
        })
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
