//! Holds a response back, so that a greeting can leave in the same write as the 101.
//!
//! hyper flushes the 101 before it hands the socket over. A proxy that reads the 101 would then rarely see anything
//! behind it; yet just that, an upstream head, is what `/greet` is there to make.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream that keeps what is written while its [`CorkSwitch`] is on.
#[derive(Debug)]
pub(super) struct Cork {
    stream: TcpStream,
    switch: CorkSwitch,
    held: Vec<u8>,
}

/// Shared by a connection's stream and its service.
#[derive(Clone, Debug, Default)]
pub(super) struct CorkSwitch(Arc<AtomicBool>);

impl CorkSwitch {
    /// From now on writes are held, until the stream is taken out of its cork.
    pub(super) fn hold(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Cork {
    pub(super) fn new(stream: TcpStream) -> (Self, CorkSwitch) {
        let switch = CorkSwitch::default();
        (
            Self {
                stream,
                switch: switch.clone(),
                held: Vec::new(),
            },
            switch,
        )
    }

    /// The stream, and what was held and must be written before anything else.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.held)
    }
}

impl AsyncRead for Cork {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cork {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.switch.holds() {
            self.held.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.switch.holds() {
            bufs.iter().for_each(|buf| self.held.extend_from_slice(buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
