//! A socket in memory, whose other end the benchmark holds.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use headpin_slab::Readable;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both ends of it. What is written is there to be taken until [`Wire::discard`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Rc<RefCell<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    incoming: Vec<u8>,
    /// Bytes of `incoming` that were read.
    read: usize,
    written: Vec<u8>,
    discards: bool,
}

impl Wire {
    /// The next reads come from `bytes`; what was there before comes back.
    pub(crate) fn arrive(&self, bytes: &mut Vec<u8>) {
        let mut ends = self.0.borrow_mut();
        std::mem::swap(&mut ends.incoming, bytes);
        ends.read = 0;
    }

    /// What was written since the last time.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().written)
    }

    /// From now on nobody wants what is written.
    pub(crate) fn discard(&self) {
        self.0.borrow_mut().discards = true;
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ends = self.0.borrow_mut();
        let left = &ends.incoming[ends.read..];
        if left.is_empty() {
            return Poll::Pending;
        }
        let taken = left.len().min(into.remaining());
        into.put_slice(&left[..taken]);
        ends.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl Readable for Wire {}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.borrow_mut();
        if !ends.discards {
            ends.written.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
