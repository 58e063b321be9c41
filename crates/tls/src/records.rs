//! The record layer of TLS 1.3 after the handshake (RFC 8446 sections 5, 6 and 4.6.3), in place and without buffers.
//!
//! rustls shakes hands and is let go. What stays are the secrets of both directions, from which all later keys come. What is
//! left to do is opening and sealing records, key updates and alerts. A record is opened where it was read, so the plaintext
//! *is* the slab's bytes; nothing is copied but what follows the first record of one read, by the few bytes of a header
//! and a tag, so that one slice holds all of it.

use std::fmt;
use std::ops::Range;

use rustls::Tls13CipherSuite;
use rustls::crypto::aws_lc_rs;
use rustls::{AlertDescription, CipherSuite, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved};

use super::contexts::Contexts;
use super::fault::{Fault, fault, internal};
use super::outgoing::Outgoing;
use super::pieces::Pieces;
use super::side::{Client, Side};
use super::state::{KeysState, RecordsState};
use super::tap::TrafficSecrets;
use super::traffic::{Parts, TrafficKeys};

/// Type, version and length of a record.
pub(super) const HEADER: usize = 5;
/// Content of one record (RFC 8446 section 5.1).
pub(super) const MAX_PLAINTEXT: usize = 1 << 14;
/// A record without its header (RFC 8446 section 5.2).
pub(super) const MAX_CIPHERTEXT: usize = MAX_PLAINTEXT + 256;
/// In all suites of TLS 1.3 but one that rustls does not have.
const TAG: usize = 16;
/// What sealing adds to content: header, content type, tag.
pub(super) const OVERHEAD: usize = HEADER + 1 + TAG;

/// Content of a record that is one packet: 1,500 bytes of Ethernet, less 8 of PPPoE, 40 of IPv6, 32 of TCP with timestamps.
pub(super) const ONE_PACKET: usize = 1_500 - 8 - 40 - 32 - OVERHEAD;
/// Packets that TCP sends before it has heard of the other side (RFC 6928).
pub(super) const INITIAL_WINDOW: u8 = 10;

/// As in rustls and BoringSSL: legal, but who does it more often wants to keep us busy.
const MOST_EMPTY_RECORDS: u8 = 32;
const MOST_KEY_UPDATES: u8 = 32;
const MOST_CANCELS: u8 = 4;

/// Bytes of a KeyUpdate message: type, length in three bytes, request (RFC 8446 section 4.6.3).
const KEY_UPDATE: usize = 5;

/// What became of the bytes that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Where the application data is now.
    pub(super) plaintext: Range<usize>,
    /// Where the record begins that has not come whole.
    pub(super) rest: usize,
    /// close_notify came; what follows it counts for nothing (RFC 8446 section 6.1).
    pub(super) closed: bool,
}

impl Opened {
    /// The same, seen from `done` bytes before.
    pub(super) fn behind(self, done: usize) -> Self {
        Self {
            plaintext: self.plaintext.start + done..self.plaintext.end + done,
            rest: self.rest + done,
            ..self
        }
    }
}

/// Length of the first record of `bytes`, header and all; `None` while the header has not come whole.
pub(super) fn record_len(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, high, low, ..] = bytes else { return None };
    Some(HEADER + usize::from(u16::from_be_bytes([*high, *low])))
}

/// Both directions of a connection whose handshake is done.
pub(super) struct Records<S: Side> {
    suite: &'static Tls13CipherSuite,
    parts: Parts,
    read: TrafficKeys,
    write: TrafficKeys,
    /// Bytes that have come of a KeyUpdate message, fewer than [`KEY_UPDATE`]. Each is judged when it comes.
    message_len: u8,
    /// What other messages this side takes, and what has come of one.
    messages: S::Messages,
    /// A KeyUpdate of our own has to go before the next data.
    update_due: bool,
    /// So many records more are of one packet.
    small: u8,
    empty_records: u8,
    key_updates: u8,
    cancels: u8,
}

impl<S: Side> Records<S> {
    /// Takes over from `connection`, whose handshake is done and which has nothing to say.
    ///
    /// # Errors
    /// When it does not say how many records there have been, or `secrets` are not all there.
    pub(super) fn take_over(connection: S::Connection, secrets: TrafficSecrets) -> Result<Self, Error> {
        let (extracted, kernel) = S::into_kernel(connection)?;
        let suite = kernel.negotiated_cipher_suite().tls13();
        let suite = suite.ok_or_else(|| Error::General("not TLS 1.3".into()))?;
        let parts = Parts::of(suite.common.suite)?;
        let (client, server) = secrets.both()?;
        let (read, write) = if S::IS_SERVER {
            (client, server)
        } else {
            (server, client)
        };
        Ok(Self {
            suite,
            parts,
            // rustls has keys as well; ours come from the secrets, as later ones do. Tests hold both together.
            read: TrafficKeys::new(parts, read, extracted.rx.0)?,
            write: TrafficKeys::new(parts, write, extracted.tx.0)?,
            message_len: 0,
            messages: S::messages(kernel),
            update_due: false,
            small: 0,
            empty_records: 0,
            key_updates: 0,
            cancels: 0,
        })
    }

    /// What another process needs to go on; it must be the only one that does, or records of two would have one number.
    pub(super) fn state(&self) -> RecordsState {
        RecordsState {
            suite: self.suite().into(),
            read: KeysState::of(&self.read),
            write: KeysState::of(&self.write),
            message_len: self.message_len,
            message: S::partial(&self.messages).into(),
            update_due: self.update_due,
            empty_records: self.empty_records,
            key_updates: self.key_updates,
            cancels: self.cancels,
        }
    }

    /// Goes on where another process was.
    ///
    /// # Errors
    /// When `state` cannot be of a session of this side.
    pub(super) fn resume(state: &RecordsState) -> Result<Self, Error> {
        let suite = CipherSuite::from(state.suite);
        let parts = Parts::of(suite)?;
        let suite = aws_lc_rs::ALL_CIPHER_SUITES
            .iter()
            .find(|known| known.suite() == suite)
            .and_then(|known| known.tls13())
            .ok_or_else(|| Error::General(format!("{suite:?} is not known")))?;
        if usize::from(state.message_len) > KEY_UPDATE - 1 {
            return Err(Error::General("more of a KeyUpdate than it has".into()));
        }
        Ok(Self {
            suite,
            parts,
            read: state.read.keys(parts)?,
            write: state.write.keys(parts)?,
            message_len: state.message_len,
            messages: S::resumed(&state.message)?,
            update_due: state.update_due,
            small: 0,
            empty_records: state.empty_records,
            key_updates: state.key_updates,
            cancels: state.cancels,
        })
    }

    pub(super) fn suite(&self) -> rustls::CipherSuite {
        self.suite.common.suite
    }

    /// Drops what `contexts` has of these keys.
    pub(super) fn forget_contexts(&self, contexts: &mut Contexts) {
        self.read.forget_context(contexts);
        self.write.forget_context(contexts);
    }

    /// Opens every whole record of `bytes` in place, and says where the data is, also that which came before a fault.
    pub(super) fn receive(&mut self, bytes: &mut [u8], contexts: &mut Contexts) -> (Opened, Result<(), Fault>) {
        let mut opened = Opened::default();
        let result = self.open_all(bytes, contexts, &mut opened);
        (opened, result)
    }

    fn open_all(&mut self, bytes: &mut [u8], contexts: &mut Contexts, opened: &mut Opened) -> Result<(), Fault> {
        while let Some(len) = whole_record(&bytes[opened.rest..])? {
            let start = opened.rest;
            opened.rest += len;
            let (typ, content) = self.open(&mut bytes[start..start + len], contexts)?;
            if (self.message_len > 0 || S::is_within(&self.messages)) && typ != ContentType::Handshake {
                let error = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
                return Err(fault(AlertDescription::UnexpectedMessage, error));
            }
            if content > 0 {
                self.empty_records = 0;
            }
            match typ {
                ContentType::ApplicationData => {
                    self.key_updates = 0;
                    if content == 0 {
                        let error = PeerMisbehaved::TooManyEmptyFragments;
                        count(&mut self.empty_records, MOST_EMPTY_RECORDS, error)?;
                    }
                    let content = start + HEADER..start + HEADER + content;
                    if opened.plaintext.is_empty() {
                        opened.plaintext = content;
                    } else {
                        let end = opened.plaintext.end;
                        opened.plaintext.end += content.len();
                        bytes.copy_within(content, end);
                    }
                }
                ContentType::Handshake => self.handshake(&bytes[start + HEADER..][..content], contexts)?,
                ContentType::Alert => {
                    opened.closed = self.alert(&bytes[start + HEADER..][..content])?;
                    if opened.closed {
                        break;
                    }
                }
                other => return Err(unexpected(other)),
            }
        }
        Ok(())
    }

    /// Opens one record; the type of its content and the length, in bytes behind the header.
    fn open(&mut self, record: &mut [u8], contexts: &mut Contexts) -> Result<(ContentType, usize), Fault> {
        let (header, sealed) = record.split_at_mut(HEADER);
        let inner = self
            .read
            .open(self.parts, contexts, header, sealed)
            .map_err(|error| fault(AlertDescription::BadRecordMac, error))?;
        if inner.len() > MAX_PLAINTEXT + 1 {
            return Err(too_large());
        }
        // Content, its type, zeros (RFC 8446 section 5.4).
        let Some(end) = inner.iter().rposition(|byte| *byte != 0) else {
            let error = PeerMisbehaved::IllegalTlsInnerPlaintext;
            return Err(fault(AlertDescription::UnexpectedMessage, error));
        };
        Ok((ContentType::from(inner[end]), end))
    }

    /// The next part of messages: KeyUpdates, and what else this side takes.
    fn handshake(&mut self, mut part: &[u8], contexts: &mut Contexts) -> Result<(), Fault> {
        if part.is_empty() {
            return Err(unexpected(ContentType::Handshake));
        }
        while let Some((byte, rest)) = part.split_first() {
            let is_update = HandshakeType::from(*byte) == HandshakeType::KeyUpdate;
            if S::is_within(&self.messages) || (self.message_len == 0 && !is_update) {
                let taken = S::take(&mut self.messages, part)?;
                part = &part[taken..];
                continue;
            }
            part = rest;
            let at = self.message_len;
            self.message_len += 1;
            match (at, *byte) {
                (1 | 2, byte) if byte != 0 => return Err(no_key_update(AlertDescription::DecodeError)),
                (3, byte) if byte != 1 => return Err(no_key_update(AlertDescription::DecodeError)),
                (4, request) => {
                    self.message_len = 0;
                    self.key_update(request, part, contexts)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// RFC 8446 section 4.6.3; `rest` is what follows in the same record, under keys that are no longer good.
    fn key_update(&mut self, request: u8, rest: &[u8], contexts: &mut Contexts) -> Result<(), Fault> {
        if !rest.is_empty() {
            let error = PeerMisbehaved::KeyEpochWithPendingFragment;
            return Err(fault(AlertDescription::UnexpectedMessage, error));
        }
        if request > 1 {
            return Err(no_key_update(AlertDescription::IllegalParameter));
        }
        let error = PeerMisbehaved::TooManyKeyUpdateRequests;
        count(&mut self.key_updates, MOST_KEY_UPDATES, error)?;
        self.read.renew(self.parts, contexts).map_err(internal)?;
        // Several in a row get one answer, which goes with what is written next: nothing has to be queued for it.
        self.update_due |= request == 1;
        Ok(())
    }

    /// Whether it is close_notify. Levels mean nothing any more, and every other alert ends the connection (RFC 8446
    /// section 6).
    fn alert(&mut self, content: &[u8]) -> Result<bool, Fault> {
        let [_level, description] = content else {
            return Err(match content {
                [] => unexpected(ContentType::Alert),
                _ => fault(AlertDescription::DecodeError, InvalidMessage::TrailingData("Alert")),
            });
        };
        match AlertDescription::from(*description) {
            AlertDescription::CloseNotify => Ok(true),
            AlertDescription::UserCanceled => {
                let error = PeerMisbehaved::TooManyWarningAlertsReceived;
                count(&mut self.cancels, MOST_CANCELS, error).map(|()| false)
            }
            other => Err(Fault {
                error: Error::AlertReceived(other),
                alert: None,
            }),
        }
    }

    /// An answer begins: its first records are of one packet each, so that the peer can open the first while the others are on
    /// their way, and does not wait a round trip for the rest of a record of 16 KiB, which the initial window cuts.
    pub(super) fn begin_small(&mut self) {
        self.small = INITIAL_WINDOW;
    }

    /// From now on records are full.
    pub(super) fn fill(&mut self) {
        self.small = 0;
    }

    /// Content of the next record, of `left` bytes.
    fn next_len(&mut self, left: usize) -> usize {
        let most = match self.small {
            0 => MAX_PLAINTEXT,
            small => {
                self.small = small - 1;
                ONE_PACKET
            }
        };
        left.min(most)
    }

    /// Most that `plaintext` bytes of data take as records.
    fn room_for(&self, plaintext: usize) -> usize {
        plaintext + (plaintext.div_ceil(MAX_PLAINTEXT) + usize::from(self.small) + 1) * OVERHEAD
    }

    /// Appends `plaintext` to `outgoing`, as records.
    pub(super) fn encrypt(
        &mut self,
        mut plaintext: &[u8],
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        outgoing.reserve(self.room_for(plaintext.len()));
        while !plaintext.is_empty() {
            self.renew_keys(contexts, outgoing)?;
            let (content, rest) = plaintext.split_at(self.next_len(plaintext.len()));
            self.seal(ContentType::ApplicationData, content, contexts, outgoing)?;
            plaintext = rest;
        }
        Ok(())
    }

    /// As [`Self::encrypt`], of `pieces` that follow one another: a record ends where it is full, not where a piece ends.
    /// What lies in several of them is put together in `scratch`, which is empty, and is so again.
    pub(super) fn encrypt_pieces(
        &mut self,
        mut pieces: Pieces<'_>,
        scratch: &mut Vec<u8>,
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        outgoing.reserve(self.room_for(pieces.len()));
        while pieces.len() > 0 {
            self.renew_keys(contexts, outgoing)?;
            let content = pieces.next(self.next_len(pieces.len()), scratch);
            let sealed = self.seal(ContentType::ApplicationData, content, contexts, outgoing);
            scratch.clear();
            sealed?;
        }
        Ok(())
    }

    /// Appends close_notify to `outgoing`.
    pub(super) fn close(&mut self, contexts: &mut Contexts, outgoing: &mut Outgoing) -> Result<(), Error> {
        self.renew_keys(contexts, outgoing)?;
        self.seal_alert(1, AlertDescription::CloseNotify, contexts, outgoing)
    }

    /// Appends a fatal alert to `outgoing`.
    pub(super) fn say(
        &mut self,
        alert: AlertDescription,
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        self.seal_alert(2, alert, contexts, outgoing)
    }

    fn seal_alert(
        &mut self,
        level: u8,
        alert: AlertDescription,
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        self.seal(ContentType::Alert, &[level, u8::from(alert)], contexts, outgoing)
    }

    /// Changes the write keys if the peer asks for it, or before they are worn out (RFC 8446 section 5.5).
    fn renew_keys(&mut self, contexts: &mut Contexts, outgoing: &mut Outgoing) -> Result<(), Error> {
        // Records that may be sealed with one key.
        let limit = self.suite.common.confidentiality_limit;
        if !self.update_due && self.write.sequence().saturating_add(1) < limit {
            return Ok(());
        }
        self.update_due = false;
        // update_not_requested: the peer changes its own keys when it likes.
        self.seal(ContentType::Handshake, &[24, 0, 0, 1, 0], contexts, outgoing)?;
        self.write.renew(self.parts, contexts)
    }

    /// Appends one record to `outgoing`; nothing on error, so that nothing goes out in clear.
    fn seal(
        &mut self,
        typ: ContentType,
        content: &[u8],
        contexts: &mut Contexts,
        outgoing: &mut Outgoing,
    ) -> Result<(), Error> {
        let len = content.len() + 1 + TAG;
        let [high, low] = u16::try_from(len).map_err(|_| Error::EncryptError)?.to_be_bytes();
        let header = [u8::from(ContentType::ApplicationData), 3, 3, high, low];
        let start = outgoing.len();
        outgoing.append(&header);
        let sealed = self.write.seal(
            self.parts,
            contexts,
            &header,
            (content, u8::from(typ)),
            outgoing.room(len),
        );
        if sealed.is_err() {
            outgoing.truncate(start);
        }
        sealed
    }
}

impl Records<Client> {
    /// Tickets that come from now on are dropped.
    pub(super) fn end_tickets(&mut self) {
        self.messages.end();
    }
}

/// Length of the first record of `bytes` if it has come whole. A header that cannot be right is refused at once.
fn whole_record(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(len) = record_len(bytes) else { return Ok(None) };
    // The version means nothing (RFC 8446 section 5.1), and is authenticated with the rest of the header.
    let typ = ContentType::from(bytes[0]);
    if typ != ContentType::ApplicationData {
        return Err(unexpected(typ));
    }
    if len > HEADER + MAX_CIPHERTEXT {
        return Err(too_large());
    }
    Ok((len <= bytes.len()).then_some(len))
}

fn unexpected(got_type: ContentType) -> Fault {
    let error = Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData],
        got_type,
    };
    fault(AlertDescription::UnexpectedMessage, error)
}

fn too_large() -> Fault {
    fault(AlertDescription::RecordOverflow, Error::PeerSentOversizedRecord)
}

fn no_key_update(alert: AlertDescription) -> Fault {
    fault(alert, InvalidMessage::InvalidKeyUpdate)
}

/// Counts one more of what is legal up to `most` in a row.
fn count(counter: &mut u8, most: u8, error: PeerMisbehaved) -> Result<(), Fault> {
    if *counter == most {
        return Err(fault(AlertDescription::UnexpectedMessage, error));
    }
    *counter += 1;
    Ok(())
}

impl<S: Side> fmt::Debug for Records<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("read", &self.read)
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}
