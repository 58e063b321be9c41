//! How large the reads of a response are.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use headpin_slab::forward_async_write;

/// One small read, in bytes. hyper doubles its buffer from 8 KiB whenever a read fills it, and walks through what it has grown
/// to: one byte less keeps it there.
const SMALL: usize = 8 * 1024 - 1;

/// One large read, in bytes: four TLS records. Small ones take a quarter more CPU for the same bytes.
const LARGE: usize = 64 * 1024;

/// The pace of one pooled connection, set by who takes its response.
#[derive(Debug, Clone, Default)]
pub struct ReadPace {
    /// An atomic only because hyper's extensions have to be `Sync`; both sides are on one thread.
    large: Arc<AtomicBool>,
}

impl ReadPace {
    /// Reads much at once, or little.
    pub fn set_large(&self, large: bool) {
        self.large.store(large, Ordering::Relaxed);
    }

    /// Whether reads are large.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.large.load(Ordering::Relaxed)
    }

    fn most(&self) -> usize {
        if self.is_large() { LARGE } else { SMALL }
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

impl<S: AsyncRead + Unpin> AsyncRead for PacedReader<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = self.pace.most();
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut into.limit(most)).map_ok(drop)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedReader<S> {
    forward_async_write!(stream);
}
