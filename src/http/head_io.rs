//! Recovers the head, as the slab's own bytes, from under an HTTP library.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use headpin_ledger as ledger;
use headpin_slab::{Head, HeadPolicy, HeadSlot, SliceRead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flow::Flow;
use super::informational::Informational;

/// Delivers the slices of a [`SliceRead`] as plain bytes, and knows which slice a head would be cut from.
///
/// An HTTP library reads through this and, after an upgrade, gives back the bytes it had read too many, in a buffer of
/// its own. They are the last ones that were delivered here, so the head is the tail of the last slice, plus what of
/// that slice is not delivered yet. The slice waits in a [`HeadSlot`], which keeps it when the service asks for that, for an upgrade
/// request, in the poll that read it.
#[derive(Debug)]
pub struct HeadIo<S> {
    stream: S,
    state: Rc<IoState>,
}

/// What others see of a [`HeadIo`] that an HTTP library owns.
#[derive(Debug, Default)]
pub struct IoState {
    /// The claim on the slice that a head would be cut from.
    pub slot: HeadSlot,
    pub(crate) flow: Flow,
    /// From the first request on that may have some.
    informational: OnceCell<Box<Informational>>,
}

impl IoState {
    /// The informational responses that wait to be written.
    pub(crate) fn informational(&self) -> &Informational {
        self.informational.get_or_init(Box::default)
    }

    /// Waits until no informational response waits to be written, and takes no more before the next request. For the task that the
    /// HTTP library runs in.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub(crate) async fn informational_written(&self) {
        if let Some(informational) = self.informational.get() {
            poll_fn(|_| informational.poll_written()).await;
        }
    }
}

impl AsRef<HeadSlot> for IoState {
    fn as_ref(&self) -> &HeadSlot {
        &self.slot
    }
}

impl<S: SliceRead> HeadIo<S> {
    /// Wraps `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            state: Rc::default(),
        }
    }

    /// Wraps an upstream connection's `stream`, such that the census sees what it remembers while it speaks HTTP.
    pub fn watched(stream: S) -> Self {
        // No part of what the connection takes that asks for it: the slot's memory goes with the sweep.
        let (io, _) = ledger::measure(|| {
            let io = Self::new(stream);
            let state: Rc<dyn AsRef<HeadSlot>> = io.state();
            io.stream.slabs().watch(&state);
            io
        });
        io
    }

    /// The part of this that stays with the service and with bodies.
    #[must_use]
    pub fn state(&self) -> Rc<IoState> {
        Rc::clone(&self.state)
    }

    /// The stream back; what it had read and not delivered is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The stream back, and the head: `read_too_much`, which the library had taken and not used, and what it had not
    /// taken yet.
    /// It is held or copied as `policy` says.
    pub fn into_head(self, read_too_much: &[u8], policy: HeadPolicy) -> (S, Head) {
        let (slabs, class) = (self.stream.slabs(), self.stream.class());
        let head = self.state.slot.take_head(read_too_much, slabs, class, policy);
        (self.stream, head)
    }
}

impl<S: SliceRead + Unpin> AsyncRead for HeadIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.state.slot.deliver(into) {
            this.state.flow.note_read();
            return Poll::Ready(Ok(()));
        }
        this.state.slot.before_read();
        let Some(slice) = ready!(this.stream.poll_read_slice(cx, into.remaining()))? else {
            return Poll::Ready(Ok(()));
        };
        this.state.flow.note_read();
        let policy = this.stream.slabs().reading_policy();
        this.state.slot.deliver_from(slice, policy, into);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> HeadIo<S> {
    /// Ready when no informational response is written in part.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.state.informational.get() {
            Some(informational) => informational.poll_rest(cx, &mut self.stream),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(informational) = self.state.informational.get() {
            ready!(informational.poll_flush(cx, &mut self.stream))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.poll_begun(cx)? {
            Poll::Ready(()) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Poll::Pending => Poll::Pending,
        };
        self.state.flow.note_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.poll_begun(cx)? {
            Poll::Ready(()) => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
            Poll::Pending => Poll::Pending,
        };
        self.state.flow.note_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_flush_all(cx);
        self.state.flow.note_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
