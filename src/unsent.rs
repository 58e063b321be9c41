//! What a writer has not taken yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// The rest of a blocked write, in memory of exactly its size; none while nothing is blocked.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    bytes: Box<[u8]>,
    /// `0 <= sent <= bytes.len()`, taken since.
    sent: usize,
}

impl From<Box<[u8]>> for Unsent {
    fn from(bytes: Box<[u8]>) -> Self {
        Self { bytes, sent: 0 }
    }
}

impl From<&[u8]> for Unsent {
    fn from(bytes: &[u8]) -> Self {
        Box::<[u8]>::from(bytes).into()
    }
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Puts `bytes` behind what is left.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        *self = Self::from([&self.bytes[self.sent..], bytes].concat().into_boxed_slice());
    }

    /// Writes to `to` until nothing is left; then it holds no memory.
    ///
    /// # Errors
    /// What `to` reports, and `WriteZero` if it takes nothing more.
    pub(crate) fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.bytes[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.sent += taken,
            }
        }
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}
