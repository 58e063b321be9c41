//! Record handling, behind one small interface: ciphertext in, plaintext out, and back.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::{fmt, mem};

use headpin_ledger::{self as ledger, MemoryPart};
use headpin_slab::Waiting;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{EncryptError, WriteTraffic};
use rustls::{CipherSuite, ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig};

use super::contexts::Contexts;
use super::fault::Fault;
use super::outgoing::Outgoing;
use super::pieces::Pieces;
use super::records::{HEADER, MAX_CIPHERTEXT, MAX_PLAINTEXT, Opened, Records};
use super::side::{Client, Server, Side};
use super::state::SessionState;
use super::unbuffered::{RECORD_OVERHEAD, Unbuffered};

/// One TLS connection without buffers: between calls it holds only the ciphertext of a partial record.
pub struct Session<S: Side> {
    layer: Layer<S>,
    /// Ciphertext that is not processed yet, of exactly its size.
    partial: Waiting,
    kind: Option<HandshakeKind>,
    facts: S::Facts,
    /// The config lets secrets out.
    takes_over: bool,
    peer_closed: bool,
    /// What is claimed for this session as the part `tls`, in bytes.
    claimed: i32,
    /// Why nothing is received or sent any more.
    failure: Option<Box<Error>>,
}

/// Who handles records.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the one that lives as long as a tunnel"
)]
enum Layer<S: Side> {
    /// rustls: while hands are shaken, and in TLS 1.2 for good.
    Rustls(Box<Unbuffered<S>>),
    /// In TLS 1.3, from the client's Finished on.
    Records(Records<S>),
    /// Nobody: rustls did not hand out its secrets.
    Nobody,
}

impl Session<Server> {
    /// Waits for a client's hello.
    ///
    /// # Errors
    /// What rustls has against `config`.
    pub fn accept(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let takes_over = config.enable_secret_extraction;
        Ok(Self::new(UnbufferedServerConnection::new(config)?, takes_over))
    }
}

impl Session<Client> {
    /// Says hello to the server `name`, in `outgoing`.
    ///
    /// # Errors
    /// What rustls has against `config`.
    pub fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        outgoing: &mut Outgoing,
    ) -> Result<Self, Error> {
        let takes_over = config.enable_secret_extraction;
        let mut session = Self::new(UnbufferedClientConnection::new(config, name)?, takes_over);
        if let Layer::Rustls(rustls) = &mut session.layer {
            rustls.begin(outgoing)?;
        }
        Ok(session)
    }

    /// Tickets that come from now on are dropped.
    pub(crate) fn end_tickets(&mut self) {
        if let Layer::Records(records) = &mut self.layer {
            records.end_tickets();
        }
    }
}

impl<S: Side> Session<S> {
    fn new(connection: S::Connection, takes_over: bool) -> Self {
        Self {
            layer: Layer::Rustls(Box::new(Unbuffered::new(connection))),
            partial: Waiting::default(),
            kind: None,
            facts: S::Facts::default(),
            takes_over,
            peer_closed: false,
            claimed: 0,
            failure: None,
        }
    }

    /// What another process needs to go on with this session. `None` if none could: in TLS 1.2 and while hands are shaken rustls
    /// has the keys, and after a failure there is nothing to go on with.
    pub(crate) fn state(&self) -> Option<SessionState> {
        match &self.layer {
            Layer::Records(records) if self.failure.is_none() => Some(SessionState {
                records: records.state(),
                partial: self.partial.to_vec(),
                peer_closed: self.peer_closed,
            }),
            _ => None,
        }
    }

    /// Goes on where another process was.
    ///
    /// # Errors
    /// When `state` cannot be of a session of this side.
    pub(crate) fn resume(state: &SessionState) -> Result<Self, Error> {
        if state.partial.len() > HEADER + MAX_CIPHERTEXT {
            return Err(Error::General("more of a record than it has".into()));
        }
        Ok(Self {
            layer: Layer::Records(Records::resume(&state.records)?),
            partial: state.partial[..].into(),
            kind: None,
            facts: S::Facts::default(),
            takes_over: true,
            peer_closed: state.peer_closed,
            claimed: 0,
            failure: None,
        })
    }

    /// Drops what `contexts` has of this session's keys.
    pub(crate) fn forget_contexts(&self, contexts: &mut Contexts) {
        if let Layer::Records(records) = &self.layer {
            records.forget_contexts(contexts);
        }
    }

    /// What else of the handshake is known, once it is done.
    pub fn facts(&self) -> &S::Facts {
        &self.facts
    }

    /// What has to stand in front of newly read bytes in the next call of [`Self::receive`].
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Claims `bytes` more for this session, until it is dropped.
    pub fn claim(&mut self, bytes: i64) {
        // Far below 2 GiB: a session takes some KiB. If it is not, the claim stays at its bound.
        let sum = i64::from(self.claimed).saturating_add(bytes);
        let claimed = sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let before = std::mem::replace(&mut self.claimed, claimed);
        ledger::claim(MemoryPart::Tls, i64::from(claimed) - i64::from(before));
    }

    /// Whether the handshake is not done.
    pub fn is_handshaking(&self) -> bool {
        matches!(&self.layer, Layer::Rustls(rustls) if rustls.is_handshaking())
    }

    /// Whether the peer has sent close_notify.
    pub fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What went wrong, if anything did: then the peer has been told, and all that can be done is to close.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_deref()
    }

    /// How the handshake was done, once it is.
    pub fn kind(&self) -> Option<HandshakeKind> {
        self.kind
    }

    /// Version and cipher suite, once they are agreed on.
    pub fn agreed(&self) -> Option<(ProtocolVersion, CipherSuite)> {
        match &self.layer {
            Layer::Rustls(rustls) => Some((rustls.protocol()?, rustls.suite()?)),
            Layer::Records(records) => Some((ProtocolVersion::TLSv1_3, records.suite())),
            Layer::Nobody => None,
        }
    }

    /// The version, once it is agreed on.
    pub fn protocol(&self) -> Option<ProtocolVersion> {
        match &self.layer {
            Layer::Rustls(rustls) => rustls.protocol(),
            Layer::Records(_) => Some(ProtocolVersion::TLSv1_3),
            Layer::Nobody => None,
        }
    }

    /// Processes `ciphertext`, which begins with [`Self::partial`], in place, and appends to `outgoing` what the protocol
    /// has to say (handshake, tickets, on error the alert). `scratch` is empty, and is so again.
    ///
    /// The range says where in `ciphertext` the plaintext is now, also that of whole records before one that is at
    /// fault; the error is what is wrong, for good.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        scratch: &mut Vec<u8>,
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> (Range<usize>, Result<(), Error>) {
        if let Err(error) = self.check() {
            return (0..0, Err(error));
        }
        let mut opened = Opened::default();
        let result = self.process(ciphertext, &mut opened, scratch, contexts, outgoing);
        self.peer_closed |= opened.closed;
        // What follows close_notify is not looked at (RFC 8446 section 6.1).
        self.partial = if result.is_err() || self.peer_closed {
            Waiting::default()
        } else {
            ciphertext[opened.rest..].into()
        };
        if !scratch.is_empty() {
            // rustls keeps plaintext elsewhere; it is never longer than the ciphertext that it came in.
            opened.plaintext = 0..scratch.len();
            ciphertext[..scratch.len()].copy_from_slice(scratch);
            scratch.clear();
        }
        (
            opened.plaintext,
            result.map_err(|fault| self.fail(fault, contexts, outgoing)),
        )
    }

    fn process(
        &mut self,
        ciphertext: &mut [u8],
        opened: &mut Opened,
        scratch: &mut Vec<u8>,
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<(), Fault> {
        if let Layer::Rustls(rustls) = &mut self.layer {
            let shaking = rustls.is_handshaking();
            rustls.receive(ciphertext, opened, scratch, outgoing)?;
            if rustls.is_handshaking() || !shaking {
                return Ok(());
            }
            self.kind = rustls.kind();
            self.facts = rustls.facts();
            if self.takes_over && rustls.protocol() == Some(ProtocolVersion::TLSv1_3) {
                self.take_over()?;
            } else {
                return Ok(rustls.receive(ciphertext, opened, scratch, outgoing)?);
            }
        }
        let Layer::Records(records) = &mut self.layer else {
            return Ok(());
        };
        let done = opened.rest;
        let (later, result) = records.receive(&mut ciphertext[done..], contexts);
        *opened = later.behind(done);
        result
    }

    /// Finished is the last of its record (RFC 8446 section 5.1, rustls sees to it), so what follows begins with one.
    fn take_over(&mut self) -> Result<(), Error> {
        if let Layer::Rustls(rustls) = mem::replace(&mut self.layer, Layer::Nobody) {
            let (connection, secrets) = rustls.into_parts();
            self.layer = Layer::Records(Records::take_over(connection, secrets)?);
        }
        Ok(())
    }

    /// An answer begins, see [`Records::begin_small`]. With TLS 1.2 its records are full.
    pub(crate) fn begin_small(&mut self) {
        if let Layer::Records(records) = &mut self.layer {
            records.begin_small();
        }
    }

    /// Takes [`Self::begin_small`] back.
    pub(crate) fn fill(&mut self) {
        if let Layer::Records(records) = &mut self.layer {
            records.fill();
        }
    }

    /// Appends `plaintext` to `outgoing`, as records.
    pub fn encrypt(&mut self, plaintext: &[u8], contexts: &mut Contexts, outgoing: &mut Outgoing) -> Result<(), Error> {
        self.check()?;
        if let Layer::Records(records) = &mut self.layer {
            let encrypted = records.encrypt(plaintext, contexts, outgoing);
            // What was sealed before has used its numbers, and will not be sent.
            self.failure = encrypted.as_ref().err().cloned().map(Box::new);
            return encrypted;
        }
        let room = plaintext.len() + plaintext.len().div_ceil(MAX_PLAINTEXT) * RECORD_OVERHEAD;
        self.write_by_rustls(outgoing, room, |traffic, room| traffic.encrypt(plaintext, room))
    }

    /// As [`Self::encrypt`], of `most` bytes of `slices`; how many of them it took. With TLS 1.2 no more than one slice.
    /// `scratch` is empty, and is so again.
    pub fn encrypt_pieces(
        &mut self,
        slices: &[IoSlice<'_>],
        most: usize,
        scratch: &mut Vec<u8>,
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Error> {
        self.check()?;
        let mut pieces = Pieces::new(slices, most);
        let Layer::Records(records) = &mut self.layer else {
            let first = pieces.first();
            return self.encrypt(first, contexts, outgoing).map(|()| first.len());
        };
        let taken = pieces.len();
        let encrypted = records.encrypt_pieces(pieces, scratch, contexts, outgoing);
        self.failure = encrypted.as_ref().err().cloned().map(Box::new);
        encrypted.map(|()| taken)
    }

    /// Appends close_notify to `outgoing`; nothing after a failure, which ends a connection by itself.
    pub fn close(&mut self, contexts: &mut Contexts, outgoing: &mut Outgoing) -> Result<(), Error> {
        if self.failure.is_some() {
            return Ok(());
        }
        if let Layer::Records(records) = &mut self.layer {
            return records.close(contexts, outgoing);
        }
        self.write_by_rustls(outgoing, RECORD_OVERHEAD, |traffic, room| {
            traffic.queue_close_notify(room)
        })
    }

    fn write_by_rustls(
        &mut self,
        outgoing: &mut Outgoing,
        room: usize,
        seal: impl FnMut(&mut WriteTraffic<'_, S::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        let Layer::Rustls(rustls) = &mut self.layer else {
            return Err(Error::HandshakeNotComplete);
        };
        self.peer_closed |= rustls.write(&mut self.partial, outgoing, room, seal)?;
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        self.failure().cloned().map_or(Ok(()), Err)
    }

    /// After an error only the alert is left to say.
    fn fail(&mut self, Fault { error, alert }: Fault, contexts: &mut Contexts, outgoing: &mut Outgoing) -> Error {
        self.failure = Some(Box::new(error.clone()));
        match (&mut self.layer, alert) {
            (Layer::Rustls(rustls), _) => rustls.last_words(outgoing),
            (Layer::Records(records), Some(alert)) => {
                // Without keys there is nothing to say it with.
                let _ = records.say(alert, contexts, outgoing);
            }
            _ => {}
        }
        error
    }
}

impl<S: Side> Drop for Session<S> {
    fn drop(&mut self) {
        ledger::claim(MemoryPart::Tls, -i64::from(self.claimed));
    }
}

impl<S: Side> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
    }
}
