//! rustls without buffers: handshakes, and TLS 1.2 for as long as it lasts.

use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CipherSuite, ContentType, Error, HandshakeKind, ProtocolVersion};

use super::outgoing::Outgoing;
use super::records::{HEADER, MAX_CIPHERTEXT, Opened, record_len};
use super::side::Side;
use super::tap::TrafficSecrets;

/// Largest partial record, or handshake message in parts, that is kept: a record is at most 16,640 bytes and its header
/// (RFC 8446 section 5.2), a ClientHello with post-quantum key shares some KiB. Below the smallest slab.
const MAX_PARTIAL: usize = 48 * 1024;

/// More than the header, explicit nonce, content type and tag of a record take in any cipher suite in use, together with
/// a key update in front of it.
pub(super) const RECORD_OVERHEAD: usize = 64;
/// A fatal alert in a record of its own, in clear: "decode_error" (RFC 8446 section 6).
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// A connection of rustls.
pub(super) struct Unbuffered<S: Side> {
    connection: S::Connection,
    secrets: TrafficSecrets,
    /// How far it has seen whole records of what is not processed yet: those of a handshake message that has not come
    /// whole. It may have moved what is in them, headers included.
    seen: usize,
}

impl<S: Side> Unbuffered<S> {
    pub(super) fn new(connection: S::Connection) -> Self {
        Self {
            connection,
            secrets: TrafficSecrets::default(),
            seen: 0,
        }
    }

    /// Appends what this side says first to `outgoing`.
    pub(super) fn begin(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        self.process(&mut [], &mut Opened::default(), &mut Vec::new(), outgoing)
    }

    pub(super) fn facts(&self) -> S::Facts {
        S::facts(&self.connection)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn protocol(&self) -> Option<ProtocolVersion> {
        self.connection.protocol_version()
    }

    pub(super) fn suite(&self) -> Option<CipherSuite> {
        Some(self.connection.negotiated_cipher_suite()?.suite())
    }

    pub(super) fn kind(&self) -> Option<HandshakeKind> {
        self.connection.handshake_kind()
    }

    pub(super) fn into_parts(self) -> (S::Connection, TrafficSecrets) {
        (self.connection, self.secrets)
    }

    /// Processes `ciphertext`, which begins with what was left the last time, up to the end of the handshake or, after
    /// that, of it. Plaintext is appended to `plaintext`.
    ///
    /// A handshake goes record by record: rustls must not see one that somebody else is to open.
    pub(super) fn receive(
        &mut self,
        ciphertext: &mut [u8],
        opened: &mut Opened,
        plaintext: &mut Vec<u8>,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        while self.is_handshaking() {
            match next_record(ciphertext.get(self.seen..).unwrap_or_default()) {
                Next::Whole(len) => self.seen += len,
                // Nothing is to be said of it yet. Early data that is not wanted would even be tried, and counted, again.
                Next::Partial => break,
                Next::Wrong => {
                    self.process(ciphertext, opened, plaintext, outgoing)?;
                    break;
                }
            }
            let seen = self.seen;
            self.process(&mut ciphertext[..seen], opened, plaintext, outgoing)?;
            if !self.is_handshaking() {
                return Ok(());
            }
        }
        if !self.is_handshaking() {
            self.process(ciphertext, opened, plaintext, outgoing)?;
        }
        self.seen = self.seen.saturating_sub(opened.rest);
        if ciphertext.len() - opened.rest > MAX_PARTIAL && !opened.closed {
            return Err(Error::General("a handshake message of more than 48 KiB".into()));
        }
        Ok(())
    }

    fn process(
        &mut self,
        ciphertext: &mut [u8],
        opened: &mut Opened,
        plaintext: &mut Vec<u8>,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        loop {
            let ciphertext = &mut ciphertext[opened.rest..];
            let Self {
                connection, secrets, ..
            } = self;
            let UnbufferedStatus { discard, state } = match connection.is_handshaking() {
                true => secrets.listen(|| S::process(connection, ciphertext)),
                false => S::process(connection, ciphertext),
            };
            opened.rest += discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        plaintext.extend_from_slice(record?.payload);
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => opened.closed = true,
                _ => return Ok(()),
            }
        }
    }

    /// Appends what `seal` makes in at most `room` bytes to `outgoing`. `partial` is what was left the last time; says
    /// whether close_notify was in it.
    pub(super) fn write(
        &mut self,
        partial: &mut [u8],
        outgoing: &mut Outgoing,
        room: usize,
        mut seal: impl FnMut(&mut WriteTraffic<'_, S::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<bool, Error> {
        let mut peer_closed = false;
        loop {
            // The partial record goes in again: rustls keeps places in it while a handshake message is incomplete.
            let UnbufferedStatus { discard, state } = S::process(&mut self.connection, partial);
            debug_assert_eq!(discard, 0, "receive left nothing that can be processed");
            match state? {
                ConnectionState::EncodeTlsData(data) => encode(data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = outgoing.len();
                    let sealed = seal(&mut traffic, outgoing.room(room));
                    let sealed = sealed.map_err(|error| Error::General(error.to_string()));
                    outgoing.truncate(start + sealed.as_ref().copied().unwrap_or(0));
                    return sealed.map(|_| peer_closed);
                }
                ConnectionState::PeerClosed => peer_closed = true,
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    /// What rustls still wants to tell the peer after an error.
    pub(super) fn last_words(&mut self, outgoing: &mut Outgoing) {
        let before = outgoing.len();
        // rustls still knows places in the ciphertext, and would look for them in what it is given here. It does not get
        // that far while it has something to say.
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = S::process(&mut self.connection, &mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else {
                return;
            };
            if encode(data, outgoing).is_err() {
                return;
            }
        }
        // Of some errors rustls tells the peer nothing. Before a version is agreed, an alert goes in clear.
        if outgoing.len() == before && self.protocol().is_none() {
            outgoing.append(&DECODE_ERROR);
        }
    }
}

/// What the next bytes are of.
enum Next {
    /// A record of this length, header and all.
    Whole(usize),
    Partial,
    /// No record that could become whole.
    Wrong,
}

fn next_record(bytes: &[u8]) -> Next {
    let Some(len) = record_len(bytes) else {
        return Next::Partial;
    };
    // In TLS 1.2 a record may be larger, but not while hands are shaken.
    let typed = (u8::from(ContentType::ChangeCipherSpec)..=u8::from(ContentType::ApplicationData)).contains(&bytes[0]);
    match len <= bytes.len() {
        true => Next::Whole(len),
        false if typed && len <= HEADER + MAX_CIPHERTEXT => Next::Partial,
        false => Next::Wrong,
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Outgoing) -> Result<(), Error> {
    let start = outgoing.len();
    // The first call only asks how much room it takes.
    let need = match data.encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(need)) => need.required_size,
        Err(error) => return Err(Error::General(error.to_string())),
    };
    let len = data
        .encode(outgoing.room(need))
        .map_err(|error| Error::General(error.to_string()))?;
    outgoing.truncate(start + len);
    Ok(())
}
