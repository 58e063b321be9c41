//! The TLS stream whose plaintext is carved from a slab.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use headpin_ledger as ledger;
use headpin_slab::{Readable, SlabClass, SlabSlice, SliceRead, Unsent, WorkerSlabs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use super::contexts::Contexts;
use super::error::HandshakeError;
use super::outgoing::Outgoing;
use super::records::{MAX_PLAINTEXT, OVERHEAD};
use super::session::Session;
use super::side::{Client, Server, Side};
use super::state::StreamState;

/// Said in clear to a client that speaks HTTP to the TLS port.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
    Content-Length: 58\r\n\r\nThis port speaks TLS only: use https:// or wss:// instead.";

/// Bytes that a read asks for at the least: with less room than that behind what it holds, a slab is full.
const LEAST: usize = 4 * 1024;

/// How long a client may take to read what was said last and to close.
const LINGER: Duration = Duration::from_secs(1);

/// What the connections of one worker share: the slabs, and memory for ciphertext that no connection keeps.
#[derive(Debug)]
pub struct TlsBuffers {
    slabs: Rc<WorkerSlabs>,
    scratch: RefCell<Scratch>,
    /// Most plaintext that is read or written in one go, in bytes.
    chunk: usize,
}

/// Buffers, which are empty between polls.
#[derive(Debug, Default)]
struct Scratch {
    /// Plaintext that did not come about in place, or does not lie in one.
    plaintext: Vec<u8>,
    /// Written from.
    outgoing: Outgoing,
    /// Not empty: they are of whoever used them last.
    contexts: Contexts,
}

impl TlsBuffers {
    /// Bytes of memory that this holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        let scratch = self.scratch.borrow();
        size_of::<Self>() + scratch.plaintext.capacity() + scratch.outgoing.memory() + scratch.contexts.memory()
    }

    /// Buffers for reads and writes of at most `chunk` bytes of plaintext.
    #[must_use]
    pub fn new(slabs: Rc<WorkerSlabs>, chunk: usize) -> Rc<Self> {
        Rc::new(Self {
            slabs,
            scratch: RefCell::default(),
            chunk,
        })
    }
}

/// A TLS connection, whose reads are slices of a slab: the worker's tls slab at a server, its tcp slab at a client.
///
/// Between polls it holds no buffer but the ciphertext of a partial record and what a blocked write left, both of
/// exactly their size.
#[derive(Debug)]
pub struct SlabStream<IO, S: Side = Server> {
    io: IO,
    session: WorkersSession<S>,
    /// Ciphertext that the socket did not take yet.
    blocked: Unsent,
    /// Plaintext that arrived together with the end of the handshake.
    early: Option<Box<[u8]>>,
    /// No more comes from the socket.
    ended: bool,
    close_sent: bool,
    /// What is said after something was read is an answer to it.
    answers: bool,
}

/// A session of whose keys the worker may have contexts: those go with it.
#[derive(Debug)]
struct WorkersSession<S: Side> {
    session: Session<S>,
    buffers: Rc<TlsBuffers>,
}

impl<IO: Readable + AsyncWrite + Unpin> SlabStream<IO, Client> {
    /// Performs the handshake with the server `name` within `deadline`.
    ///
    /// # Errors
    /// [`HandshakeError`].
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn connect(
        io: IO,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        buffers: Rc<TlsBuffers>,
        deadline: Duration,
    ) -> Result<Self, HandshakeError> {
        let mut hello = Outgoing::default();
        let (session, taken) = ledger::measure(|| Session::connect(config, name, &mut hello));
        let mut session = session.map_err(HandshakeError::Tls)?;
        session.claim(taken);
        let mut stream = Self::new(io, session, buffers);
        stream.blocked = hello[..].into();
        drop(hello);
        let handshake = timeout(deadline, poll_fn(|cx| stream.poll_handshake(cx))).await;
        handshake.unwrap_or(Err(HandshakeError::Timeout)).map(|()| stream)
    }

    /// Tickets that come from now on are not kept for the next connection to the server. What keeps them, some 560 bytes, is
    /// freed.
    pub fn end_tickets(&mut self) {
        let ((), taken) = ledger::measure(|| self.session.end_tickets());
        self.session.claim(taken);
    }
}

impl<IO: Readable + AsyncWrite + Unpin> SlabStream<IO, Server> {
    /// What of the memory claimed for TLS is inside this struct, and so in the memory of whoever holds it, in bytes.
    pub const INLINE_BYTES: i64 = size_of::<Session<Server>>() as i64;

    /// Performs the handshake within `deadline`. On failure the client is told why, by the alert of TLS or, if it
    /// speaks HTTP, in HTTP.
    ///
    /// # Errors
    /// [`HandshakeError`].
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn accept(
        io: IO,
        config: Arc<ServerConfig>,
        buffers: Rc<TlsBuffers>,
        deadline: Duration,
    ) -> Result<Self, HandshakeError> {
        let (session, taken) = ledger::measure(|| Session::accept(config));
        let mut session = session.map_err(HandshakeError::Tls)?;
        session.claim(taken + Self::INLINE_BYTES);
        let mut stream = Self::new(io, session, buffers);
        stream.answers = true;
        let handshake = timeout(deadline, poll_fn(|cx| stream.poll_handshake(cx))).await;
        let Err(error) = handshake.unwrap_or(Err(HandshakeError::Timeout)) else {
            return Ok(stream);
        };
        match error {
            HandshakeError::PlainHttp => stream.blocked = PLAIN_HTTP.into(),
            HandshakeError::Tls(_) => {}
            _ => return Err(error),
        }
        // The client may be gone or silent: then there is nobody to tell.
        let _ = timeout(LINGER, stream.linger()).await;
        Err(error)
    }
}

impl<IO: Readable + AsyncWrite + Unpin, S: Side> SlabStream<IO, S> {
    fn new(io: IO, session: Session<S>, buffers: Rc<TlsBuffers>) -> Self {
        Self {
            io,
            session: WorkersSession { session, buffers },
            blocked: Unsent::default(),
            early: None,
            ended: false,
            close_sent: false,
            answers: false,
        }
    }

    /// All but the socket, for another process to go on with. `None` if none could: in TLS 1.2 and while hands are shaken rustls
    /// has the keys, and after a failure there is nothing to go on with.
    ///
    /// Whoever takes it must be the only one that goes on: two would seal different records with one number.
    #[must_use]
    pub fn state(&self) -> Option<StreamState> {
        Some(StreamState {
            session: self.session.state()?,
            blocked: self.blocked.left().into(),
            early: self.early.as_deref().unwrap_or_default().into(),
            ended: self.ended,
            close_sent: self.close_sent,
            answers: self.answers,
        })
    }

    /// The socket, for who has taken [`Self::state`].
    #[must_use]
    pub fn into_io(self) -> IO {
        self.io
    }

    /// Goes on over `io` where another process was.
    ///
    /// # Errors
    /// When `state` cannot be of a stream of this side.
    pub fn resume(io: IO, state: &StreamState, buffers: Rc<TlsBuffers>) -> Result<Self, Error> {
        let (session, taken) = ledger::measure(|| Session::resume(&state.session));
        let mut session = session?;
        // A client's stream is in a box of its own.
        let inline = if S::IS_SERVER { size_of::<Session<S>>() } else { 0 };
        session.claim(taken + inline as i64);
        let early = &state.early[..];
        Ok(Self {
            blocked: state.blocked[..].into(),
            early: (!early.is_empty()).then(|| early.into()),
            ended: state.ended,
            close_sent: state.close_sent,
            answers: state.answers,
            ..Self::new(io, session, buffers)
        })
    }

    /// Says close_notify and gives the peer a moment to read what was said before that.
    ///
    /// # Cancel safety
    /// Dropping it closes the socket at once.
    pub async fn close(mut self) {
        let closing = async {
            self.shutdown().await?;
            self.linger().await
        };
        // The client may be gone or silent: then there is nobody to tell.
        let _ = timeout(LINGER, closing).await;
    }

    /// HTTP is over. Until then the first records of what is written after a read, which begins a response, are of one packet
    /// each. Of a message in a tunnel nobody sees anything before it is there whole: from now on records are full.
    pub fn end_answers(&mut self) {
        self.answers = false;
        self.session.fill();
    }

    /// How the handshake was done.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.session.kind() == Some(HandshakeKind::Resumed)
    }

    /// The version in use, as `TLSv1_3`.
    #[must_use]
    pub fn protocol(&self) -> Option<rustls::ProtocolVersion> {
        self.session.protocol()
    }

    /// Version and cipher suite, once they are agreed on.
    #[must_use]
    pub fn agreed(&self) -> Option<(rustls::ProtocolVersion, rustls::CipherSuite)> {
        self.session.agreed()
    }

    /// Bytes of memory that this connection holds for a partial record and for a blocked write.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.session.partial().len() + self.blocked.held() + self.early.as_ref().map_or(0, |early| early.len())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            // The last flight as well: a TLS 1.2 client says nothing before it has the server's Finished, and who only
            // reads from here on would never send it.
            ready!(self.poll_send_blocked(cx)).map_err(HandshakeError::Io)?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            let first = self.session.partial().is_empty() && self.session.protocol().is_none();
            let (received, taken) = ledger::measure(|| {
                self.poll_receive(cx, self.session.buffers.chunk, |bytes| {
                    !(first && bytes.first().is_some_and(u8::is_ascii_uppercase))
                })
            });
            self.session.claim(taken);
            let received = ready!(received);
            match received {
                Ok(Received::Data(slice)) => self.early = slice.map(|slice| slice[..].into()),
                Ok(Received::End) => return Poll::Ready(Err(HandshakeError::Closed)),
                Ok(Received::NotTls) => return Poll::Ready(Err(HandshakeError::PlainHttp)),
                Err(ReceiveError::Io(error)) => return Poll::Ready(Err(HandshakeError::Io(error))),
                Err(ReceiveError::Tls(error)) => return Poll::Ready(Err(HandshakeError::Tls(error))),
            }
        }
    }

    /// One read of the socket into the slab, decrypted there to one slice; `None` if no plaintext came of it. What came before a fault is
    /// delivered; the session then knows the fault.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        is_tls: impl Fn(&[u8]) -> bool,
    ) -> Poll<Result<Received, ReceiveError>> {
        ready!(self.io.poll_readable(cx)).map_err(ReceiveError::Io)?;
        let buffers = Rc::clone(&self.session.buffers);
        let mut scratch = buffers.scratch.borrow_mut();
        let Scratch {
            plaintext,
            outgoing,
            contexts,
        } = &mut *scratch;
        let mut pool = buffers.slabs.for_read(S::CLASS);

        let partial = self.session.partial();
        let most = sealed_len(most.min(buffers.chunk)).min(pool.capacity() - partial.len());
        let mut carving = pool.carve_between(partial.len() + most.min(LEAST), partial.len() + most);
        carving.extend(partial);
        ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut carving.unfilled())).map_err(ReceiveError::Io)?;
        let fresh = &carving.filled()[partial.len()..];
        if fresh.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(Received::End));
        }
        if !is_tls(fresh) {
            return Poll::Ready(Ok(Received::NotTls));
        }

        let (opened, received) = self.session.receive(carving.filled(), plaintext, contexts, outgoing);
        let slice = carving.finish_with(opened);
        // After close_notify nothing is said any more (RFC 8446 section 6.1).
        let sent = if self.close_sent {
            Ok(())
        } else {
            self.send(cx, outgoing)
        };
        outgoing.clear();
        if slice.is_none() {
            received.map_err(ReceiveError::Tls)?;
        }
        sent.map_err(ReceiveError::Io)?;
        if self.answers && slice.is_some() {
            self.session.begin_small();
        }
        Poll::Ready(Ok(Received::Data(slice)))
    }

    /// Writes `ciphertext`, behind what is blocked; keeps a copy of what the socket does not take.
    fn send(&mut self, cx: &mut Context<'_>, mut ciphertext: &[u8]) -> io::Result<()> {
        if !self.blocked.is_empty() && !ciphertext.is_empty() {
            self.blocked.append(ciphertext);
            return Ok(());
        }
        while !ciphertext.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, ciphertext)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(sent) => ciphertext = &ciphertext[sent..],
                Poll::Pending => {
                    self.blocked = ciphertext.into();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Apart from what happens for each message: the first of the plaintext that was there before anybody read.
    #[cold]
    #[inline(never)]
    fn read_early(&mut self, early: &[u8], most: usize) -> Option<SlabSlice> {
        let (first, rest) = early.split_at(early.len().min(most));
        self.early = (!rest.is_empty()).then(|| rest.into());
        let mut pool = self.session.buffers.slabs.for_read(S::CLASS);
        let mut carving = pool.carve(first.len());
        carving.extend(first);
        carving.finish()
    }

    fn poll_send_blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.blocked.poll_send(cx, &mut self.io)
    }

    /// Ends the connection so that the peer can still read what was said last: closing a socket with unread bytes in it
    /// makes the kernel send a reset, which overtakes the alert.
    async fn linger(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send_blocked(cx)).await?;
        self.io.shutdown().await?;
        let mut unread = [0; 512];
        while self.io.read(&mut unread).await? > 0 {}
        Ok(())
    }
}

/// Bytes that `plaintext` takes in full records of TLS 1.3: a peer that writes such ones has none of them cut by our reads, so that
/// no partial record has to be put aside.
fn sealed_len(plaintext: usize) -> usize {
    plaintext + plaintext.div_ceil(MAX_PLAINTEXT) * OVERHEAD
}

impl<S: Side> Deref for WorkersSession<S> {
    type Target = Session<S>;

    #[inline]
    fn deref(&self) -> &Session<S> {
        &self.session
    }
}

impl<S: Side> DerefMut for WorkersSession<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Session<S> {
        &mut self.session
    }
}

impl<S: Side> Drop for WorkersSession<S> {
    /// The worker keeps no context of a connection that is gone.
    fn drop(&mut self) {
        // Borrowed only if something in this file has panicked.
        if let Ok(mut scratch) = self.buffers.scratch.try_borrow_mut() {
            self.session.forget_contexts(&mut scratch.contexts);
        }
    }
}

enum Received {
    Data(Option<SlabSlice>),
    End,
    NotTls,
}

enum ReceiveError {
    Io(io::Error),
    Tls(rustls::Error),
}

impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Io(error) => error,
            ReceiveError::Tls(error) => invalid_data(error),
        }
    }
}

fn invalid_data(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<IO: Readable + AsyncWrite + Unpin, S: Side> SliceRead for SlabStream<IO, S> {
    /// An end without close_notify is an error of kind `UnexpectedEof`; a fault of TLS is one of kind `InvalidData`, and
    /// stays.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Option<SlabSlice>>> {
        if let Some(early) = self.early.take() {
            return Poll::Ready(Ok(self.read_early(&early, most)));
        }
        while !self.session.is_peer_closed() {
            if let Some(failure) = self.session.failure() {
                return Poll::Ready(Err(invalid_data(failure.clone())));
            }
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            match ready!(self.poll_receive(cx, most, |_| true))? {
                Received::Data(Some(slice)) => return Poll::Ready(Ok(Some(slice))),
                Received::Data(None) | Received::End | Received::NotTls => {}
            }
        }
        Poll::Ready(Ok(None))
    }

    fn slabs(&self) -> &Rc<WorkerSlabs> {
        &self.session.buffers.slabs
    }

    fn class(&self) -> SlabClass {
        S::CLASS
    }
}

impl<IO: Readable + AsyncWrite + Unpin, S: Side> AsyncWrite for SlabStream<IO, S> {
    /// Takes up to a chunk once nothing is blocked; what the socket does not take then is kept as ciphertext.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_send_blocked(cx))?;
        if this.close_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let buffers = Rc::clone(&this.session.buffers);
        let Scratch { outgoing, contexts, .. } = &mut *buffers.scratch.borrow_mut();
        let taken = bytes.len().min(buffers.chunk);
        let sent = this
            .session
            .encrypt(&bytes[..taken], contexts, outgoing)
            .map_err(invalid_data)
            .and_then(|()| this.send(cx, outgoing));
        outgoing.clear();
        Poll::Ready(sent.map(|()| taken))
    }

    /// As `poll_write`: what lies in several places, such as head and body of a response, goes in the same records.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_send_blocked(cx))?;
        if this.close_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let buffers = Rc::clone(&this.session.buffers);
        let Scratch {
            plaintext,
            outgoing,
            contexts,
        } = &mut *buffers.scratch.borrow_mut();
        let sent = this
            .session
            .encrypt_pieces(slices, buffers.chunk, plaintext, contexts, outgoing)
            .map_err(invalid_data)
            .and_then(|taken| this.send(cx, outgoing).map(|()| taken));
        outgoing.clear();
        Poll::Ready(sent)
    }

    /// Always: every write is gathered into records.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready when everything that was written has gone to the socket.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_blocked(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Sends close_notify, then ends the socket's writing side. Reading goes on.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.close_sent {
            this.close_sent = true;
            let buffers = Rc::clone(&this.session.buffers);
            let Scratch { outgoing, contexts, .. } = &mut *buffers.scratch.borrow_mut();
            let sent = this
                .session
                .close(contexts, outgoing)
                .map_err(invalid_data)
                .and_then(|()| this.send(cx, outgoing));
            outgoing.clear();
            sent?;
        }
        ready!(this.poll_send_blocked(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
