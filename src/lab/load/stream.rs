//! A connection to the target that holds no buffer while it is idle.
//!
//! TLS is rustls's unbuffered API: ciphertext is read into a buffer that all connections of a thread share, and only
//! what is left over is kept, at its exact size: the ciphertext of a partial record, and the rest of a blocked write.
//! (Measured: see `headpin load idle`, "generator"; tokio-rustls keeps 4 KiB and more in each connection.)

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::fault::Fault;

/// Bytes read at once: four full TLS records.
const READ_MAX: usize = 64 << 10;

thread_local! {
    static INCOMING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static OUTGOING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One connection, plain or TLS.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    /// What the kernel did not take yet.
    unsent: Vec<u8>,
    tls: Option<Box<Tls>>,
}

struct Tls {
    connection: UnbufferedClientConnection,
    /// Ciphertext of a record that is not complete yet.
    partial: Vec<u8>,
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
        }
    }

    /// Shakes hands. The last flight is not sent yet: it leaves with the first bytes that are sent.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    pub(super) async fn secured(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Fault> {
        let refused = |error| Fault::Handshake(io::Error::other(error));
        let connection = UnbufferedClientConnection::new(config, name).map_err(refused)?;
        let mut stream = Self::plain(tcp);
        let mut tls = Box::new(Tls {
            connection,
            partial: Vec::new(),
        });
        tls.advance(&mut [], &mut stream.unsent, &mut |_| Ok(()))?;
        stream.tls = Some(tls);
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// Whether TLS was resumed; `None` without TLS.
    pub(super) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.connection.handshake_kind()
    }

    /// Version, cipher suite and key exchange, as `TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519`.
    pub(super) fn tls_parameters(&self) -> Option<String> {
        let connection = &self.tls.as_ref()?.connection;
        let version = connection.protocol_version()?;
        let suite = connection.negotiated_cipher_suite()?.suite();
        let group = connection
            .negotiated_key_exchange_group()
            .map(|group| format!(" {:?}", group.name()));
        Some(format!("{version:?} {suite:?}{}", group.unwrap_or_default()))
    }

    /// Reads once, at most `max` bytes of ciphertext, and gives the plaintext to `sink`.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Poll<Result<Received, Fault>> {
        INCOMING.with_borrow_mut(|buffer| {
            let Self { tcp, unsent, tls } = self;
            let kept = tls.as_ref().map_or(0, |tls| tls.partial.len());
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
            buffer[..kept].copy_from_slice(&tls.partial);
            let incoming = &mut buffer[..kept + read];
            let (consumed, standing) = tls.advance(incoming, unsent, sink)?;
            tls.partial = Vec::from(&incoming[consumed..]);
            Poll::Ready(Ok(if standing == Standing::PeerClosed {
                Received::End
            } else {
                Received::Some
            }))
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

    /// Takes all of `plaintext`; what the kernel does not take at once waits for [`Self::poll_ready`].
    pub(super) fn send(&mut self, cx: &mut Context<'_>, plaintext: &[u8]) -> Result<(), Fault> {
        OUTGOING.with_borrow_mut(|buffer| {
            buffer.clear();
            buffer.append(&mut self.unsent);
            match &mut self.tls {
                None => buffer.extend_from_slice(plaintext),
                Some(tls) => tls.encrypt(plaintext, buffer)?,
            }
            let mut written = 0;
            while written < buffer.len() {
                match Pin::new(&mut self.tcp).poll_write(cx, &buffer[written..]) {
                    Poll::Ready(Ok(now)) => written += now,
                    Poll::Ready(Err(error)) => return Err(Fault::Write(error)),
                    Poll::Pending => {
                        self.unsent = Vec::from(&buffer[written..]);
                        break;
                    }
                }
            }
            Ok(())
        })
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(tls) = &mut self.tls {
            tls.queue_close(&mut self.unsent)?;
        }
        _ = self.poll_ready(cx);
        Ok(())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.tls.as_ref().is_some_and(|tls| tls.connection.is_handshaking()) {
            ready!(self.poll_ready(cx))?;
            let unexpected = &mut |_: &[u8]| Err(Fault::Protocol("data before the end of the handshake"));
            match ready!(self.poll_receive(cx, READ_MAX, unexpected))? {
                Received::Some => {}
                Received::End => return Poll::Ready(Err(Fault::Handshake(io::ErrorKind::UnexpectedEof.into()))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
    }
}

/// Where TLS stands when it has processed all it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Handshaking,
    Open,
    PeerClosed,
}

impl Tls {
    /// Processes `incoming`: plaintext goes to `sink`, what TLS itself has to say to `outgoing`. Gives how much of
    /// `incoming` is done with.
    fn advance(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(usize, Standing), Fault> {
        let refused = if self.connection.is_handshaking() {
            Fault::Handshake
        } else {
            Fault::Read
        };
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut incoming[consumed..]);
            let standing = match state.map_err(|error| refused(io::Error::other(error)))? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|error| Fault::Read(io::Error::other(error)))?;
                        discard += record.discard;
                        sink(record.payload)?;
                    }
                    None
                }
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, outgoing)?;
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    // `outgoing` is kept and sent in order with everything else.
                    data.done();
                    None
                }
                ConnectionState::BlockedHandshake => Some(Standing::Handshaking),
                ConnectionState::WriteTraffic(_) => Some(Standing::Open),
                ConnectionState::PeerClosed | ConnectionState::Closed => Some(Standing::PeerClosed),
                _ => return Err(Fault::Protocol("TLS in a state that a client cannot be in")),
            };
            consumed += discard;
            if let Some(standing) = standing {
                return Ok((consumed, standing));
            }
        }
    }

    /// Appends `plaintext` to `outgoing`, encrypted, after whatever TLS itself has to say.
    fn encrypt(&mut self, plaintext: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Fault> {
        loop {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            match state.map_err(|error| Fault::Write(io::Error::other(error)))? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    // A record's header, tag and type take 22 bytes at most; rustls asks for more if that is not so.
                    let guess = plaintext.len() + 64 * (1 + plaintext.len() / 16_384);
                    return grow_until(outgoing, guess, |free| insufficient(traffic.encrypt(plaintext, free)));
                }
                ConnectionState::EncodeTlsData(data) => encode(data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => {}
                _ => return Err(Fault::Ended),
            }
        }
    }

    fn queue_close(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Fault> {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                grow_until(outgoing, 64, |free| insufficient(traffic.queue_close_notify(free)))
            }
            // Not open any more: nothing to close.
            _ => Ok(()),
        }
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<(), Fault> {
    grow_until(outgoing, 0, |free| match data.encode(free) {
        Ok(length) => Ok(Ok(length)),
        Err(EncodeError::InsufficientSize(size)) => Ok(Err(size.required_size)),
        Err(error) => Err(Fault::Write(io::Error::other(error))),
    })
}

fn insufficient(result: Result<usize, EncryptError>) -> Result<Result<usize, usize>, Fault> {
    match result {
        Ok(length) => Ok(Ok(length)),
        Err(EncryptError::InsufficientSize(size)) => Ok(Err(size.required_size)),
        Err(error) => Err(Fault::Write(io::Error::other(error))),
    }
}

/// Lets `write` append to `buffer`: first with `guess` bytes of room, then with as many as it asks for.
fn grow_until(
    buffer: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<Result<usize, usize>, Fault>,
) -> Result<(), Fault> {
    let start = buffer.len();
    let mut room = guess;
    loop {
        buffer.resize(start + room, 0);
        match write(&mut buffer[start..])? {
            Ok(length) => {
                buffer.truncate(start + length);
                return Ok(());
            }
            Err(required) => room = required,
        }
    }
}

fn poll_read(tcp: &mut TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(tcp).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
