//! What a socket takes of the limits while it is open.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use headpin_slab::{SlabClass, SlabSlice, SliceRead, WorkerSlabs, forward_async_write};
use tokio::io::AsyncWrite;
use tokio::sync::OwnedSemaphorePermit;

use crate::observe::metrics::GaugeGuard;

/// A place among the connections of the process, which others may have when this is dropped.
#[derive(Debug)]
pub struct Admission {
    _open: GaugeGuard,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Of a connection that `open` counts and that has `permit`. Only one from another process may have none.
    #[must_use]
    pub fn new(open: GaugeGuard, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            _open: open,
            _permit: permit,
        }
    }
}

/// A stream together with its place.
#[derive(Debug)]
pub struct Admitted<S> {
    /// The stream.
    pub stream: S,
    /// Given up with the stream.
    pub admission: Admission,
}

impl<S: SliceRead> SliceRead for Admitted<S> {
    #[inline]
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>> {
        self.stream.poll_read_slice(cx, most)
    }

    #[inline]
    fn slabs(&self) -> &Rc<WorkerSlabs> {
        self.stream.slabs()
    }

    #[inline]
    fn class(&self) -> SlabClass {
        self.stream.class()
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Admitted<S> {
    forward_async_write!(stream);
}
