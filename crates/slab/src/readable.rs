//! Asking a transport whether there is something to read, before memory for it is carved.

use std::io;
use std::task::{Context, Poll};

use tokio::io::AsyncRead;
use tokio::net::TcpStream;

/// A transport that may know that there is nothing to read.
///
/// A relay asks both its sides each time it is polled, and mostly one of them has nothing. To learn that from a read takes a
/// carving, which then is given up.
pub trait Readable: AsyncRead {
    /// Pending if a read would be, and then the task is woken as by a read; ready if one is worth a try. Whoever cannot tell
    /// is ready.
    ///
    /// # Errors
    /// What a read would report.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

impl Readable for TcpStream {
    #[inline]
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Readable for tokio::io::DuplexStream {}
