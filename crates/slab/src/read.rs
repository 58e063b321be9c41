//! Reading as slices of a slab.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::{Readable, SlabSlice, WorkerSlabs};
use crate::{SlabClass, forward_async_write};

/// A stream that carves what it reads from a slab and hands out the slice.
pub trait SliceRead {
    /// Reads at most `most` bytes, which are not 0, from the transport; `None` is the end of the stream. Over TLS a slice
    /// may be larger than that, by what had arrived of the record before: records come out whole.
    ///
    /// Under the rule of copy the slice must not outlive the caller's poll.
    ///
    /// # Errors
    /// What the transport reports.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>>;

    /// The worker's slabs, which this stream reads into.
    fn slabs(&self) -> &Rc<WorkerSlabs>;

    /// The class of slab that this stream reads into.
    fn class(&self) -> SlabClass;
}

/// Reads any byte stream straight into the worker's tcp slab: no buffer of its own, no copy.
#[derive(Debug)]
pub struct SlabReader<IO> {
    io: IO,
    slabs: Rc<WorkerSlabs>,
}

impl<IO> SlabReader<IO> {
    /// Reads `io` into `slabs`.
    pub fn new(io: IO, slabs: Rc<WorkerSlabs>) -> Self {
        Self { io, slabs }
    }

    /// What is read.
    pub fn io(&self) -> &IO {
        &self.io
    }

    /// The transport back; nothing of it waits here.
    pub fn into_io(self) -> IO {
        self.io
    }
}

impl<IO: Readable + Unpin> SliceRead for SlabReader<IO> {
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>> {
        ready!(self.io.poll_readable(cx))?;
        let mut pool = self.slabs.for_read(SlabClass::Tcp);
        let mut carving = pool.carve(most);
        ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut carving.unfilled()))?;
        Poll::Ready(Ok(carving.finish()))
    }

    fn slabs(&self) -> &Rc<WorkerSlabs> {
        &self.slabs
    }

    fn class(&self) -> SlabClass {
        SlabClass::Tcp
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for SlabReader<IO> {
    forward_async_write!(io);
}
