//! What a writer has not taken yet.

use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use headpin_ledger::{self as ledger, MemoryPart};

/// Bytes that wait, in memory of exactly their size; none if there are none. Claimed as the part `unsent`.
#[derive(Debug, Default)]
pub struct Waiting(Box<[u8]>);

impl From<Box<[u8]>> for Waiting {
    fn from(bytes: Box<[u8]>) -> Self {
        if !bytes.is_empty() {
            ledger::claim_apart(MemoryPart::Unsent, taken_by(&bytes));
        }
        Self(bytes)
    }
}

impl From<&[u8]> for Waiting {
    fn from(bytes: &[u8]) -> Self {
        Box::<[u8]>::from(bytes).into()
    }
}

impl Deref for Waiting {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Waiting {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            ledger::claim_apart(MemoryPart::Unsent, -taken_by(&self.0));
        }
    }
}

fn taken_by(bytes: &[u8]) -> i64 {
    i64::try_from(ledger::size_class(bytes.len())).unwrap_or(i64::MAX)
}

/// The rest of a blocked write; no memory while nothing is blocked.
#[derive(Debug, Default)]
pub struct Unsent {
    bytes: Waiting,
    /// `0 <= sent <= bytes.len()`, taken since.
    sent: usize,
}

impl From<Waiting> for Unsent {
    fn from(bytes: Waiting) -> Self {
        Self { bytes, sent: 0 }
    }
}

impl From<Box<[u8]>> for Unsent {
    fn from(bytes: Box<[u8]>) -> Self {
        Waiting::from(bytes).into()
    }
}

impl From<&[u8]> for Unsent {
    fn from(bytes: &[u8]) -> Self {
        Box::<[u8]>::from(bytes).into()
    }
}

impl Unsent {
    /// Whether nothing is left.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Bytes of memory that it holds.
    #[must_use]
    #[inline]
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// What is left.
    #[must_use]
    pub fn left(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Puts `bytes` behind what is left.
    pub fn append(&mut self, bytes: &[u8]) {
        *self = Self::from([self.left(), bytes].concat().into_boxed_slice());
    }

    /// Writes to `to` until nothing is left; then it holds no memory.
    ///
    /// # Errors
    /// What `to` reports, and `WriteZero` if it takes nothing more.
    pub fn poll_send<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
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
