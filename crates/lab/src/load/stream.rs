//! A connection to the target that holds no buffer while it is idle.
//!
//! TLS is the proxy's own, from the client's side: ciphertext is read into a buffer that all connections of a thread share,
//! and only what is left over is kept, at its exact size: the ciphertext of a partial record, and the rest of a blocked
//! write. tokio-rustls keeps a buffer of 4 KiB in each connection, which would be most of what an idle one costs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use headpin_tls::{Client, Contexts, Outgoing, Session};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::fault::Fault;

/// Bytes read at once: four full TLS records.
const READ_MAX: usize = 64 << 10;

thread_local! {
    static INCOMING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Empty between polls, as is the next.
    static OUTGOING: RefCell<Outgoing> = RefCell::default();
    static PLAINTEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// One connection, plain or TLS.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
    tls: Option<Box<Session<Client>>>,
    /// TLS was closed behind the data that was given out last.
    ended: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The sink was given something, or at least there may be more.
    Some,
    /// The peer will send nothing more.
    End,
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self {
            tcp,
            unsent: Vec::new(),
            tls: None,
            ended: false,
        }
    }

    /// Shakes hands. The last flight is not sent yet: it leaves in one write with the first bytes that are sent.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub(super) async fn secured(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Fault> {
        let mut stream = Self::plain(tcp);
        let session = with_outgoing(|outgoing| {
            let session = Session::connect(config, name, outgoing);
            stream.unsent.extend_from_slice(outgoing);
            session
        });
        let session = session.map_err(|error| Fault::Handshake(io::Error::other(error)))?;
        stream.tls = Some(Box::new(session));
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// Whether TLS was resumed; `None` without TLS.
    pub(super) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.kind()
    }

    /// Version, cipher suite and key exchange; `None` without TLS.
    pub(super) fn tls_parameters(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        let (version, suite) = tls.agreed()?;
        let group = tls.facts().map(|group| format!(" {group:?}"));
        Some(format!("{version:?} {suite:?}{}", group.unwrap_or_default()))
    }

    /// Reads once, at most `max` bytes of ciphertext, and gives the plaintext to `sink`.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Poll<Result<Received, Fault>> {
        if self.ended {
            return Poll::Ready(Ok(Received::End));
        }
        INCOMING.with_borrow_mut(|buffer| {
            let Self {
                tcp,
                unsent,
                tls,
                ended,
            } = self;
            let kept = tls.as_ref().map_or(0, |tls| tls.partial().len());
            let room = kept + max.min(READ_MAX);
            if buffer.len() < room {
                buffer.resize(room.max(READ_MAX), 0);
            }
            let read = match ready!(poll_read(tcp, cx, &mut buffer[kept..room])) {
                Ok(0) => return Poll::Ready(Ok(Received::End)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Poll::Ready(Err(Fault::Ended)),
                Err(error) => return Poll::Ready(Err(Fault::Read(error))),
            };
            let Some(tls) = tls else {
                return Poll::Ready(sink(&buffer[..read]).map(|()| Received::Some));
            };
            buffer[..kept].copy_from_slice(tls.partial());
            let was_handshaking = tls.is_handshaking();
            let (plaintext, received) = with_outgoing(|outgoing| {
                let ciphertext = &mut buffer[..kept + read];
                let received = PLAINTEXT.with_borrow_mut(|scratch| {
                    CONTEXTS.with_borrow_mut(|contexts| tls.receive(ciphertext, scratch, contexts, outgoing))
                });
                unsent.extend_from_slice(outgoing);
                received
            });
            if !plaintext.is_empty() {
                sink(&buffer[plaintext])?;
            }
            received.map_err(|error| match was_handshaking {
                true => Fault::Handshake(io::Error::other(error)),
                false => Fault::Read(io::Error::other(error)),
            })?;
            // What came before the end is to be looked at first; the next call tells of it.
            *ended = tls.is_peer_closed();
            Poll::Ready(Ok(Received::Some))
        })
    }

    /// Ready once [`Self::send`] may be called: all that was sent before is with the kernel.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Self { tcp, unsent, .. } = self;
        let mut written = 0;
        let blocked = loop {
            if written == unsent.len() {
                *unsent = Vec::new();
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut *tcp).poll_write(cx, &unsent[written..]) {
                Poll::Ready(Ok(now)) => written += now,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(Fault::Write(error))),
                Poll::Pending => break Poll::Pending,
            }
        };
        unsent.drain(..written);
        blocked
    }

    /// Takes all of `plaintext`, in records of its own, and leaves it to the next [`Self::send`] or [`Self::poll_ready`] to
    /// write it.
    pub(super) fn queue(&mut self, plaintext: &[u8]) -> Result<(), Fault> {
        with_outgoing(|outgoing| {
            self.seal(plaintext, outgoing)?;
            self.unsent.extend_from_slice(outgoing);
            Ok(())
        })
    }

    /// Takes all of `plaintext`; what the kernel does not take at once waits for [`Self::poll_ready`].
    pub(super) fn send(&mut self, cx: &mut Context<'_>, plaintext: &[u8]) -> Result<(), Fault> {
        with_outgoing(|outgoing| {
            outgoing.append(&self.unsent);
            self.unsent = Vec::new();
            self.seal(plaintext, outgoing)?;
            let mut written = 0;
            while written < outgoing.len() {
                match Pin::new(&mut self.tcp).poll_write(cx, &outgoing[written..]) {
                    Poll::Ready(Ok(now)) => written += now,
                    Poll::Ready(Err(error)) => return Err(Fault::Write(error)),
                    Poll::Pending => {
                        self.unsent = Vec::from(&outgoing[written..]);
                        break;
                    }
                }
            }
            Ok(())
        })
    }

    /// Appends `plaintext` to `outgoing`, in records if TLS is spoken.
    fn seal(&mut self, plaintext: &[u8], outgoing: &mut Outgoing) -> Result<(), Fault> {
        match &mut self.tls {
            None => outgoing.append(plaintext),
            Some(tls) => CONTEXTS
                .with_borrow_mut(|contexts| tls.encrypt(plaintext, contexts, outgoing))
                .map_err(|error| Fault::Write(io::Error::other(error)))?,
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(tls) = &mut self.tls {
            with_outgoing(|outgoing| {
                // Not open any more: nothing to close.
                _ = CONTEXTS.with_borrow_mut(|contexts| tls.close(contexts, outgoing));
                self.unsent.extend_from_slice(outgoing);
            });
        }
        _ = self.poll_ready(cx);
        Ok(())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            ready!(self.poll_ready(cx))?;
            let unexpected = &mut |_: &[u8]| Err(Fault::Protocol("data before the end of the handshake"));
            match ready!(self.poll_receive(cx, READ_MAX, unexpected))? {
                Received::Some => {}
                Received::End => return Poll::Ready(Err(Fault::Ended)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Lets `with` write into the thread's memory for ciphertext, which is empty before and after.
fn with_outgoing<T>(with: impl FnOnce(&mut Outgoing) -> T) -> T {
    OUTGOING.with_borrow_mut(|outgoing| {
        outgoing.clear();
        let result = with(outgoing);
        outgoing.clear();
        result
    })
}

fn poll_read(tcp: &mut TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(tcp).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
