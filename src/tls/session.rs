//! Record handling, behind one small interface: ciphertext in, plaintext out, and back.

use std::ops::Range;
use std::sync::Arc;
use std::{fmt, mem};

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{Error, HandshakeKind, ProtocolVersion, ServerConfig};

use super::records::{Fault, MAX_PLAINTEXT, Opened, Records, record_len};

/// Largest partial record, or handshake message in parts, that is kept: a record is at most 16,640 bytes and its header
/// (RFC 8446 section 5.2), a ClientHello with post-quantum key shares some KiB. Below the smallest slab.
pub(crate) const MAX_PARTIAL: usize = 48 * 1024;

/// More than the header, explicit nonce, content type and tag of a record take in any cipher suite in use, together with
/// a key update in front of it.
const RECORD_OVERHEAD: usize = 64;
/// A fatal alert in a record of its own, in clear: "decode_error" (RFC 8446 section 6).
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// One TLS connection without buffers: between calls it holds only the ciphertext of a partial record.
pub(crate) struct Session {
    layer: Layer,
    /// Ciphertext that is not processed yet, of exactly its size.
    partial: Box<[u8]>,
    kind: Option<HandshakeKind>,
    /// The config lets secrets out.
    takes_over: bool,
    peer_closed: bool,
    /// Why nothing is received or sent any more.
    failure: Option<Box<Error>>,
}

/// Who handles records.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the one that lives as long as a tunnel"
)]
enum Layer {
    /// rustls: while hands are shaken, and in TLS 1.2 for good.
    Rustls(Box<UnbufferedServerConnection>),
    /// In TLS 1.3, from the client's Finished on.
    Records(Records),
    /// Nobody: rustls did not hand out its secrets.
    Nobody,
}

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            takes_over: config.enable_secret_extraction,
            layer: Layer::Rustls(Box::new(UnbufferedServerConnection::new(config)?)),
            partial: Box::default(),
            kind: None,
            peer_closed: false,
            failure: None,
        })
    }

    /// What has to stand in front of newly read bytes in the next call of [`Self::receive`].
    pub(crate) fn partial(&self) -> &[u8] {
        &self.partial
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(&self.layer, Layer::Rustls(connection) if connection.is_handshaking())
    }

    /// Whether the peer has sent close_notify.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What went wrong, if anything did: then the peer has been told, and all that can be done is to close.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_deref()
    }

    /// How the handshake was done, once it is.
    pub(crate) fn kind(&self) -> Option<HandshakeKind> {
        self.kind
    }

    pub(crate) fn protocol(&self) -> Option<ProtocolVersion> {
        match &self.layer {
            Layer::Rustls(connection) => connection.protocol_version(),
            Layer::Records(records) => Some(records.protocol()),
            Layer::Nobody => None,
        }
    }

    /// Processes `ciphertext`, which begins with [`Self::partial`], in place, and appends to `outgoing` what the protocol
    /// has to say (handshake, tickets, on error the alert). `scratch` is empty, and is so again.
    ///
    /// The range says where in `ciphertext` the plaintext is now, also that of whole records before one that is at
    /// fault; the error is what is wrong, for good.
    pub(crate) fn receive(
        &mut self,
        ciphertext: &mut [u8],
        scratch: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> (Range<usize>, Result<(), Error>) {
        if let Err(error) = self.check() {
            return (0..0, Err(error));
        }
        let mut opened = Opened::default();
        let result = self.process(ciphertext, &mut opened, scratch, outgoing);
        self.peer_closed |= opened.closed;
        // What follows close_notify is not looked at (RFC 8446 section 6.1).
        self.partial = if result.is_err() || self.peer_closed {
            Box::default()
        } else {
            ciphertext[opened.rest..].into()
        };
        if !scratch.is_empty() {
            // rustls keeps plaintext elsewhere; it is never longer than the ciphertext that it came in.
            opened.plaintext = 0..scratch.len();
            ciphertext[..scratch.len()].copy_from_slice(scratch);
            scratch.clear();
        }
        (opened.plaintext, result.map_err(|fault| self.fail(fault, outgoing)))
    }

    fn process(
        &mut self,
        ciphertext: &mut [u8],
        opened: &mut Opened,
        scratch: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if let Layer::Rustls(connection) = &mut self.layer {
            let mut given = 0;
            loop {
                // Hands are shaken record by record: rustls must not see one that the record layer is to open.
                let shaking = connection.is_handshaking();
                let next = record_len(&ciphertext[given..]).filter(|_| shaking);
                given = next.map_or(ciphertext.len(), |len| ciphertext.len().min(given + len));
                by_rustls(connection, &mut ciphertext[..given], opened, scratch, outgoing)?;
                if shaking && !connection.is_handshaking() {
                    self.kind = connection.handshake_kind();
                    let modern = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
                    if self.takes_over && modern && opened.rest == given {
                        break;
                    }
                }
                if given == ciphertext.len() {
                    return bounded(ciphertext.len() - opened.rest, opened.closed);
                }
            }
            self.take_over()?;
        }
        let Layer::Records(records) = &mut self.layer else {
            return Ok(());
        };
        let done = opened.rest;
        let (later, result) = records.receive(&mut ciphertext[done..]);
        *opened = later.behind(done);
        result
    }

    fn take_over(&mut self) -> Result<(), Error> {
        if let Layer::Rustls(connection) = mem::replace(&mut self.layer, Layer::Nobody) {
            self.layer = Layer::Records(Records::take_over(*connection)?);
        }
        Ok(())
    }

    /// Appends `plaintext` to `outgoing`, as records.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        self.check()?;
        if let Layer::Records(records) = &mut self.layer {
            return records.encrypt(plaintext, outgoing);
        }
        let records = plaintext.len().div_ceil(MAX_PLAINTEXT);
        self.write_by_rustls(
            outgoing,
            plaintext.len() + records * RECORD_OVERHEAD,
            |traffic, room| traffic.encrypt(plaintext, room),
        )
    }

    /// Appends close_notify to `outgoing`; nothing after a failure, which ends a connection by itself.
    pub(crate) fn close(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Error> {
        if self.failure.is_some() {
            return Ok(());
        }
        if let Layer::Records(records) = &mut self.layer {
            return records.close(outgoing);
        }
        self.write_by_rustls(outgoing, RECORD_OVERHEAD, |traffic, room| {
            traffic.queue_close_notify(room)
        })
    }

    fn write_by_rustls(
        &mut self,
        outgoing: &mut Vec<u8>,
        room: usize,
        mut seal: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        let Layer::Rustls(connection) = &mut self.layer else {
            return Err(Error::HandshakeNotComplete);
        };
        loop {
            // The partial record goes in again: rustls keeps places in it while a handshake message is incomplete.
            let UnbufferedStatus { discard, state } = connection.process_tls_records(&mut self.partial);
            debug_assert_eq!(discard, 0, "receive left nothing that can be processed");
            match state? {
                ConnectionState::EncodeTlsData(data) => encode(data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = outgoing.len();
                    outgoing.resize(start + room, 0);
                    let sealed = seal(&mut traffic, &mut outgoing[start..]);
                    let sealed = sealed.map_err(|error| Error::General(error.to_string()));
                    outgoing.truncate(start + sealed.as_ref().copied().unwrap_or(0));
                    return sealed.map(drop);
                }
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failure().cloned().map_or(Ok(()), Err)
    }

    /// After an error only the alert is left to say.
    fn fail(&mut self, Fault { error, alert }: Fault, outgoing: &mut Vec<u8>) -> Error {
        self.failure = Some(Box::new(error.clone()));
        match (&mut self.layer, alert) {
            (Layer::Rustls(connection), _) => last_words(connection, outgoing),
            (Layer::Records(records), Some(alert)) => {
                // Without keys there is nothing to say it with.
                let _ = records.say(alert, outgoing);
            }
            _ => {}
        }
        error
    }
}

/// Lets rustls process all that can be; its plaintext is appended to `plaintext`.
fn by_rustls(
    connection: &mut UnbufferedServerConnection,
    ciphertext: &mut [u8],
    opened: &mut Opened,
    plaintext: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> Result<(), Error> {
    loop {
        let UnbufferedStatus { discard, state } = connection.process_tls_records(&mut ciphertext[opened.rest..]);
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

/// What rustls still wants to tell the peer after an error.
fn last_words(connection: &mut UnbufferedServerConnection, outgoing: &mut Vec<u8>) {
    let before = outgoing.len();
    // rustls still knows places in the ciphertext, and would look for them in what it is given here. It does not get that
    // far while it has something to say.
    while connection.wants_write() {
        let UnbufferedStatus { state, .. } = connection.process_tls_records(&mut []);
        let Ok(ConnectionState::EncodeTlsData(data)) = state else {
            return;
        };
        if encode(data, outgoing).is_err() {
            return;
        }
    }
    // Of some errors rustls tells the peer nothing. Before a version is agreed, an alert goes in clear.
    if outgoing.len() == before && connection.protocol_version().is_none() {
        outgoing.extend(DECODE_ERROR);
    }
}

fn bounded(partial: usize, closed: bool) -> Result<(), Fault> {
    if partial > MAX_PARTIAL && !closed {
        return Err(Error::General("a handshake message of more than 48 KiB".into()).into());
    }
    Ok(())
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let start = outgoing.len();
    // The first call only asks how much room it takes.
    match data.encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(need)) => outgoing.resize(start + need.required_size, 0),
        Err(error) => return Err(Error::General(error.to_string())),
    }
    let len = data
        .encode(&mut outgoing[start..])
        .map_err(|error| Error::General(error.to_string()))?;
    outgoing.truncate(start + len);
    Ok(())
}
