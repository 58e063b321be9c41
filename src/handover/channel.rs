//! Messages with sockets, over a unix socket.
//!
//! A message is a header of 8 bytes, its length and how many sockets come with it, and its content. The sockets come with the
//! header (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use zeroize::{Zeroize as _, Zeroizing};

/// Sockets that one message may have: the kernel takes no more (`SCM_MAX_FD`).
pub(super) const MAX_SOCKETS: usize = 253;
/// Bytes that one message may have. The largest is a tunnel whose backlog waits under `relay_policy = "queue"`.
const MAX_MESSAGE: usize = 1 << 30;
const HEADER: usize = 8;
/// Read at once, so that a length that is a lie allocates nothing.
const PIECE: usize = 1 << 20;

/// Why a message did not come or go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The other process is gone, or has hung up.
    #[error("the other process has gone away")]
    Gone,
    /// The kernel says no.
    #[error("the socket to the other process failed")]
    Io(#[source] io::Error),
    /// What came is no message of this format.
    #[error("the other process sent what is no message: {0}")]
    Garbled(String),
    /// It is too large.
    #[error("a message of {bytes} bytes, and at most {MAX_MESSAGE} can be sent")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

impl From<io::Error> for ChannelError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

/// A message, and the sockets that came with it.
#[derive(Debug)]
pub struct Received<M> {
    /// What it says.
    pub message: M,
    /// In the order in which they were sent. Fewer than were sent if this process may open no more files.
    pub sockets: Vec<OwnedFd>,
}

/// One end of the connection of two processes.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
}

impl Channel {
    /// Over `stream`.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream }
    }

    /// Nothing can be said any more, either way. What was said before can still be received.
    pub fn shut(&self) {
        // It fails when the other end is gone: then nothing is said either.
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both);
    }

    /// Sends `message` with `sockets`. What was serialized is wiped: there may be secrets in it.
    ///
    /// # Errors
    /// [`ChannelError`]; then nothing more can be sent.
    ///
    /// # Cancel safety
    /// Dropped half-way, nothing more can be sent.
    pub async fn send<M: Serialize>(&mut self, message: &M, sockets: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        // Of its size from the start: a buffer that grows leaves copies behind.
        let size = postcard::experimental::serialized_size(message).map_err(garbled)?;
        let (Ok(length), true) = (u32::try_from(size), size <= MAX_MESSAGE) else {
            return Err(ChannelError::TooLarge { bytes: size });
        };
        let mut content = Zeroizing::new(vec![0; size]);
        postcard::to_slice(message, &mut content).map_err(garbled)?;
        let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&count.to_le_bytes());

        let fd = self.stream.as_fd();
        let sent = self.stream.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !sockets.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
                return Err(io::Error::other(format!(
                    "{count} sockets, and at most {MAX_SOCKETS} go at once"
                )));
            }
            Ok(sendmsg(
                fd,
                &[IoSlice::new(&header)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            )?)
        });
        let sent = sent.await?;
        // The sockets are on their way with the first byte.
        self.stream.write_all(&header[sent..]).await?;
        self.stream.write_all(&content).await?;
        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    /// [`ChannelError`]; `Gone` also when the other process is done.
    ///
    /// # Cancel safety
    /// Dropped half-way, nothing more can be received.
    pub async fn receive<M: DeserializeOwned>(&mut self) -> Result<Received<M>, ChannelError> {
        let mut header = [0; HEADER];
        let mut sockets = Vec::new();
        let fd = self.stream.as_fd();
        let received = self.stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [IoSliceMut::new(&mut header)];
            let received = recvmsg(fd, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    sockets.extend(received);
                }
            }
            Ok(received.bytes)
        });
        let received = received.await?;
        if received == 0 {
            return Err(ChannelError::Gone);
        }
        self.stream.read_exact(&mut header[received..]).await?;
        let word = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_le_bytes) as usize;
        let (length, count) = (word(0), word(4));
        if length > MAX_MESSAGE || count > MAX_SOCKETS {
            return Err(ChannelError::Garbled(format!("{length} bytes with {count} sockets")));
        }
        let mut content = Zeroizing::new(Vec::with_capacity(length.min(PIECE)));
        while content.len() < length {
            let have = content.len();
            grow(&mut content, (have + PIECE).min(length));
            self.stream.read_exact(&mut content[have..]).await?;
        }
        let message = postcard::from_bytes(&content).map_err(garbled)?;
        Ok(Received { message, sockets })
    }
}

/// Makes `content` `len` bytes long. A buffer that has to move leaves nothing behind.
fn grow(content: &mut Zeroizing<Vec<u8>>, len: usize) {
    if len > content.capacity() {
        let mut larger = Vec::with_capacity(len.max(2 * content.capacity()));
        larger.extend_from_slice(content);
        content.zeroize();
        **content = larger;
    }
    content.resize(len, 0);
}

fn garbled(error: postcard::Error) -> ChannelError {
    ChannelError::Garbled(error.to_string())
}
