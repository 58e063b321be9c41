//! What a tunnel asks of the client's stream.

use std::io;
use std::os::fd::OwnedFd;

use headpin_slab::SliceRead;
use headpin_tls::{SlabStream, StreamState};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::worker::Admitted;

/// The client's side of a tunnel: slices of a slab one way, bytes the other.
pub trait Downstream: SliceRead + AsyncWrite + Unpin {
    /// What of the memory claimed for another part is inside the stream, in bytes.
    const CLAIMED_BYTES: usize;

    /// Bytes of memory that wait in the stream.
    fn buffered(&self) -> usize;

    /// From now on it carries frames, and no more answers to requests.
    fn begin_tunnel(&mut self);

    /// What another process needs to go on with it; `None` if none can.
    fn state(&self) -> Option<StreamState>;

    /// The socket, for who has taken [`Self::state`].
    ///
    /// # Errors
    /// What the runtime reports; then the connection is closed.
    fn into_socket(self) -> io::Result<OwnedFd>;
}

impl Downstream for SlabStream<TcpStream> {
    const CLAIMED_BYTES: usize = Self::INLINE_BYTES as usize;

    fn buffered(&self) -> usize {
        self.buffered()
    }

    fn begin_tunnel(&mut self) {
        self.end_answers();
    }

    fn state(&self) -> Option<StreamState> {
        self.state()
    }

    fn into_socket(self) -> io::Result<OwnedFd> {
        self.into_io().into_std().map(OwnedFd::from)
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

    fn state(&self) -> Option<StreamState> {
        self.stream.state()
    }

    fn into_socket(self) -> io::Result<OwnedFd> {
        self.stream.into_socket()
    }
}
