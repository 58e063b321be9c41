//! What a tunnel asks of the client's stream.

use headpin_slab::{Readable, SliceRead};
use headpin_tls::SlabStream;
use tokio::io::AsyncWrite;

use crate::worker::Admitted;

/// The client's side of a tunnel: slices of a slab one way, bytes the other.
pub trait Downstream: SliceRead + AsyncWrite + Unpin {
    /// What of the memory claimed for another part is inside the stream, in bytes.
    const CLAIMED_BYTES: usize;

    /// Bytes of memory that wait in the stream.
    fn buffered(&self) -> usize;

    /// From now on it carries frames, and no more answers to requests.
    fn begin_tunnel(&mut self);
}

impl<IO: Readable + AsyncWrite + Unpin> Downstream for SlabStream<IO> {
    const CLAIMED_BYTES: usize = Self::INLINE_BYTES as usize;

    fn buffered(&self) -> usize {
        self.buffered()
    }

    fn begin_tunnel(&mut self) {
        self.end_answers();
    }
}

impl<S: Downstream> Downstream for Admitted<S> {
    const CLAIMED_BYTES: usize = S::CLAIMED_BYTES;

    fn buffered(&self) -> usize {
        self.stream.buffered()
    }

    fn begin_tunnel(&mut self) {
        self.stream.begin_tunnel();
    }
}
