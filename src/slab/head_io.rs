//! Recovers the head, as the slab's own bytes, from under an HTTP library.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::slice::KeptSlice;
use super::{Head, HeldHead, SlicePlace, SliceRead};
use crate::labels::HeadPolicy;

/// Delivers the slices of a [`SliceRead`] as plain bytes, and knows which slice a head would be cut from.
///
/// An HTTP library reads through this and, after an upgrade, gives back the bytes it had read too many, in a buffer of
/// its own. They are the last ones that were delivered here, so the head is the tail of the last slice, plus what of
/// that slice is not delivered yet.
///
/// Under `pin` the slice is remembered until the next read; once [`HeadSlot::keep`] was called, which the service does
/// for an upgrade request in the poll that read it, it stays also when the library probes for the end of the stream.
/// Under `copy` nothing is remembered, and what is not delivered when the poll ends has been copied to memory of its
/// own size.
#[derive(Debug)]
pub struct HeadIo<S> {
    stream: S,
    slot: Rc<HeadSlot>,
}

/// What the service sees of a [`HeadIo`] that the HTTP library owns.
#[derive(Debug, Default)]
pub struct HeadSlot {
    last: RefCell<Last>,
    keep: Cell<bool>,
    begun: Cell<bool>,
    /// The last write or flush is not done.
    blocked: Cell<bool>,
    /// Who has more to write once it is.
    waiter: RefCell<Option<Waker>>,
}

/// What was read last.
#[derive(Debug, Default)]
enum Last {
    #[default]
    Nothing,
    /// Under `pin`: the slice, of which `0 <= delivered <= len` bytes are delivered.
    Slice { slice: KeptSlice, delivered: usize },
    /// Under `copy`: what is not delivered yet.
    Rest(Bytes),
}

impl HeadSlot {
    /// The request whose head was just delivered asks for an upgrade: remember the slice that it ended in.
    pub fn keep(&self) {
        self.begun.set(false);
        self.keep.set(true);
    }

    /// The request whose head was just delivered asks for no upgrade: a connection that merely lives on keeps nothing
    /// but bytes that nobody has read yet.
    pub fn forget(&self) {
        self.begun.set(false);
        self.keep.set(false);
        self.drop_delivered();
    }

    /// Whether bytes have arrived since the last request.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Ready when what was written last has left for the socket. Who asks before making more to write keeps an HTTP library
    /// from gathering in memory what a slow reader does not take.
    pub fn poll_unblocked(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.blocked.get() {
            return Poll::Ready(());
        }
        self.waiter.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Notes what became of a write or a flush.
    fn wrote<T>(&self, poll: Poll<T>) -> Poll<T> {
        let was_blocked = self.blocked.replace(poll.is_pending());
        if was_blocked
            && poll.is_ready()
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
        poll
    }

    /// Where the remembered slice lies, if there is one.
    #[must_use]
    pub fn remembered(&self) -> Option<SlicePlace> {
        match &*self.last.borrow() {
            Last::Slice { slice, .. } => Some(slice.place()),
            _ => None,
        }
    }

    /// Going to `copy`: turns what is remembered into a copy of what still has to be delivered.
    pub fn release(&self) {
        let last = self.last.take();
        let rest = match last {
            Last::Slice { slice, delivered } if delivered < slice.len() => {
                Last::Rest(Bytes::copy_from_slice(&slice[delivered..]))
            }
            Last::Slice { .. } => Last::Nothing,
            other => other,
        };
        self.last.replace(rest);
    }

    fn drop_delivered(&self) {
        let mut last = self.last.borrow_mut();
        if matches!(&*last, Last::Slice { slice, delivered } if *delivered == slice.len()) {
            *last = Last::Nothing;
        }
    }

    /// Delivers from what is already read; false if there is nothing.
    fn deliver(&self, into: &mut ReadBuf<'_>) -> bool {
        let mut last = self.last.borrow_mut();
        match &mut *last {
            Last::Slice { slice, delivered } if *delivered < slice.len() => {
                let n = into.remaining().min(slice.len() - *delivered);
                into.put_slice(&slice[*delivered..*delivered + n]);
                *delivered += n;
            }
            Last::Rest(rest) => {
                let n = into.remaining().min(rest.len());
                into.put_slice(&rest[..n]);
                rest.advance(n);
                if rest.is_empty() {
                    *last = Last::Nothing;
                }
            }
            _ => return false,
        }
        true
    }
}

impl<S: SliceRead> HeadIo<S> {
    /// Wraps `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            slot: Rc::default(),
        }
    }

    /// The side of this that stays with the service.
    #[must_use]
    pub fn slot(&self) -> Rc<HeadSlot> {
        Rc::clone(&self.slot)
    }

    /// The stream back; what it had read and not delivered is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The stream back, and the head: `read_too_much`, which the library had taken and not used, and what it had not
    /// taken yet.
    pub fn into_head(self, read_too_much: &[u8]) -> (S, Head) {
        let last = self.slot.last.take();
        let pin = self.stream.slabs().policy() == HeadPolicy::Pin;
        let head = match last {
            Last::Slice { slice, delivered } if pin && slice[..delivered].ends_with(read_too_much) => {
                let range = delivered - read_too_much.len()..slice.len();
                Head::Held(HeldHead::of_kept(slice, range))
            }
            last => {
                let rest: &[u8] = match &last {
                    Last::Nothing => &[],
                    Last::Slice { slice, delivered } => &slice[*delivered..],
                    Last::Rest(rest) => rest,
                };
                let bytes = [read_too_much, rest].concat().into_boxed_slice();
                if pin {
                    self.carve_anew(bytes)
                } else {
                    Head::Copied(bytes)
                }
            }
        };
        (self.stream, head)
    }

    /// Under `pin` a head is the slab's bytes, also when the slice it came in is long gone (a pipelined request) or was
    /// read under `copy`.
    fn carve_anew(&self, bytes: Box<[u8]>) -> Head {
        let mut pool = self.stream.slabs().for_read(self.stream.class());
        if bytes.len() > pool.capacity() {
            return Head::Copied(bytes);
        }
        let mut carving = pool.carve(bytes.len());
        carving.extend(&bytes);
        match carving.finish() {
            Some(slice) => {
                let all = 0..slice.len();
                Head::Held(HeldHead::new(slice, all))
            }
            None => Head::Copied(bytes),
        }
    }
}

impl<S: SliceRead + Unpin> AsyncRead for HeadIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.slot.deliver(into) {
            this.slot.begun.set(true);
            return Poll::Ready(Ok(()));
        }
        if !this.slot.keep.get() {
            this.slot.drop_delivered();
        }
        let Some(slice) = ready!(this.stream.poll_read_slice(cx, into.remaining()))? else {
            return Poll::Ready(Ok(()));
        };
        this.slot.begun.set(true);
        let delivered = into.remaining().min(slice.len());
        into.put_slice(&slice[..delivered]);
        let last = match this.stream.slabs().policy() {
            HeadPolicy::Pin => Last::Slice {
                slice: slice.into(),
                delivered,
            },
            HeadPolicy::Copy if delivered == slice.len() => Last::Nothing,
            HeadPolicy::Copy => Last::Rest(Bytes::copy_from_slice(&slice[delivered..])),
        };
        this.slot.last.replace(last);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.slot.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.slot.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.slot.wrote(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
