//! How large the reads of a response are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::labels::SlabClass;
use crate::slab::{SlabSlice, SliceRead, WorkerSlabs};

/// One read for a client that has proved nothing, in bytes: the content of one TLS record. A client that then reads nothing
/// holds two of these, the rest of one in TLS and one on its way there.
const SMALL: usize = 16 * 1024;

/// One read for a client that reads on, in bytes. Four records: a read, a write and the tasks' turns cost as much as
/// sealing one.
const LARGE: usize = 64 * 1024;

/// Bytes that prove that a client reads: more than the kernel takes for one that does not. Linux's send buffer grows to 4 MiB
/// (`tcp_wmem`), with its own overhead in that.
const PROOF: usize = 4 * 1024 * 1024;

/// The pace of one pooled connection: reads are small until its client has taken much.
#[derive(Debug, Clone, Default)]
pub struct ReadPace {
    /// Bytes read since the client proved that it is slow.
    proved: Arc<AtomicUsize>,
}

impl ReadPace {
    /// The client is slow, or another one.
    pub fn start_over(&self) {
        self.proved.store(0, Ordering::Relaxed);
    }

    fn most(&self) -> usize {
        if self.proved.load(Ordering::Relaxed) < PROOF {
            SMALL
        } else {
            LARGE
        }
    }

    fn add(&self, bytes: usize) {
        // One thread at a time: an atomic only because hyper's extensions have to be `Sync`.
        let proved = self.proved.load(Ordering::Relaxed);
        self.proved.store(proved.saturating_add(bytes), Ordering::Relaxed);
    }
}

/// A stream that is read at its pace.
#[derive(Debug)]
pub(super) struct PacedReader<S> {
    stream: S,
    pace: ReadPace,
}

impl<S> PacedReader<S> {
    pub(super) fn new(stream: S, pace: ReadPace) -> Self {
        Self { stream, pace }
    }
}

impl<S: SliceRead> SliceRead for PacedReader<S> {
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>> {
        let slice = ready!(self.stream.poll_read_slice(cx, most.min(self.pace.most())))?;
        self.pace.add(slice.as_ref().map_or(0, |slice| slice.len()));
        Poll::Ready(Ok(slice))
    }

    fn slabs(&self) -> &Rc<WorkerSlabs> {
        self.stream.slabs()
    }

    fn class(&self) -> SlabClass {
        self.stream.class()
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedReader<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_small_until_much_was_taken_and_after_each_new_start() {
        let pace = ReadPace::default();
        assert_eq!(pace.most(), SMALL);
        pace.add(PROOF - 1);
        assert_eq!(pace.most(), SMALL);
        pace.add(1);
        assert_eq!(pace.most(), LARGE);
        pace.clone().start_over();
        assert_eq!(pace.most(), SMALL);
    }
}
