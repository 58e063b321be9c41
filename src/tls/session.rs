//! Record handling, behind one small interface: ciphertext in, plaintext out, and back.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{Error, HandshakeKind, ServerConfig};

/// Largest partial record, or handshake message in parts, that is kept: a record is at most 16,640 bytes and its header
/// (RFC 8446 section 5.2), a ClientHello with post-quantum key shares some KiB. Below the smallest slab.
pub(crate) const MAX_PARTIAL: usize = 48 * 1024;

/// More than the header, explicit nonce, content type and tag of a record take in any cipher suite in use, together with
/// a key update in front of it.
const RECORD_OVERHEAD: usize = 64;
/// A fatal alert in a record of its own, in clear: "decode_error" (RFC 8446 section 6).
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];
/// Plaintext of one record (RFC 8446 section 5.1).
const MAX_PLAINTEXT: usize = 16 * 1024;

/// One TLS connection without buffers: between calls it holds only the ciphertext of a partial record.
pub(crate) struct Session {
    connection: UnbufferedServerConnection,
    /// Ciphertext that is not processed yet, of exactly its size.
    partial: Box<[u8]>,
    peer_closed: bool,
    /// Why nothing is received or sent any more.
    failure: Option<Error>,
}

impl Session {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            partial: Box::default(),
            peer_closed: false,
            failure: None,
        })
    }

    /// What has to stand in front of newly read bytes in the next call of [`Self::receive`].
    pub(crate) fn partial(&self) -> &[u8] {
        &self.partial
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer has sent close_notify.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What went wrong, if anything did: then the peer has been told, and all that can be done is to close.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    pub(crate) fn kind(&self) -> Option<HandshakeKind> {
        self.connection.handshake_kind()
    }

    /// Version and cipher suite, once they are agreed on.
    pub(crate) fn agreed(&self) -> Option<(rustls::ProtocolVersion, rustls::CipherSuite)> {
        let suite = self.connection.negotiated_cipher_suite()?;
        Some((self.connection.protocol_version()?, suite.suite()))
    }

    pub(crate) fn protocol(&self) -> Option<rustls::ProtocolVersion> {
        self.connection.protocol_version()
    }

    /// Processes `ciphertext`, which begins with [`Self::partial`]: calls `plaintext` for each record's content and
    /// appends to `outgoing` what the protocol has to say (handshake, tickets, on error the alert).
    ///
    /// # Errors
    /// What is wrong with the ciphertext, for good: what was read before it has been handed to `plaintext`.
    pub(crate) fn receive(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: impl FnMut(&[u8]),
        outgoing: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.check()?;
        let received = self.process(ciphertext, plaintext, outgoing);
        match &received {
            // What follows close_notify is not looked at (RFC 8446 section 6.1).
            Ok(_) if self.peer_closed => self.partial = Box::default(),
            Ok(done) => self.partial = ciphertext[*done..].into(),
            Err(error) => self.fail(error.clone(), outgoing),
        }
        received.map(drop)
    }

    /// Processes all that can be; how many bytes that were.
    fn process(
        &mut self,
        ciphertext: &mut [u8],
        mut plaintext: impl FnMut(&[u8]),
        outgoing: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut ciphertext[done..]);
            done += discard;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        plaintext(record?.payload);
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => break,
            }
        }
        if !self.peer_closed && ciphertext.len() - done > MAX_PARTIAL {
            return Err(Error::General("a handshake message of more than 48 KiB".into()));
        }
        Ok(done)
    }

    /// Appends `plaintext` to `outgoing`, as records.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        let records = plaintext.len().div_ceil(MAX_PLAINTEXT);
        self.write(
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
        self.write(outgoing, RECORD_OVERHEAD, |traffic, room| {
            traffic.queue_close_notify(room)
        })
    }

    fn write(
        &mut self,
        outgoing: &mut Vec<u8>,
        room: usize,
        mut seal: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        self.check()?;
        loop {
            // The partial record goes in again: rustls keeps places in it while a handshake message is incomplete.
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.partial);
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
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// After an error only the alert is left to say.
    fn fail(&mut self, error: Error, outgoing: &mut Vec<u8>) {
        self.partial = Box::default();
        self.failure = Some(error);
        let before = outgoing.len();
        // rustls still knows places in the ciphertext, and would look for them in what it is given here. It does not
        // get that far while it has something to say.
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else {
                return;
            };
            if encode(data, outgoing).is_err() {
                return;
            }
        }
        // Of some errors rustls tells the peer nothing. Before a version is agreed, an alert goes in clear.
        if outgoing.len() == before && self.connection.protocol_version().is_none() {
            outgoing.extend(DECODE_ERROR);
        }
    }
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
