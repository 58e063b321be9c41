//! One connection's TLS, by rustls's unbuffered API.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind};

use super::fault::Fault;

/// Turns ciphertext into plaintext and back. It keeps the ciphertext of a partial record, and no buffer.
pub(super) struct Records {
    connection: UnbufferedClientConnection,
    /// Ciphertext of a record that is not complete yet.
    partial: Vec<u8>,
}

/// Where TLS stands when it has processed all it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Handshaking,
    Open,
    PeerClosed,
}

impl Records {
    /// A client's side; its first flight goes to `outgoing`.
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Self, Fault> {
        let connection = UnbufferedClientConnection::new(config, name);
        let connection = connection.map_err(|error| Fault::Handshake(io::Error::other(error)))?;
        let mut records = Self {
            connection,
            partial: Vec::new(),
        };
        records.advance(&mut [], outgoing, &mut |_| Ok(()))?;
        Ok(records)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the session was resumed; known once the handshake is done.
    pub(super) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.connection.handshake_kind()
    }

    /// Version, cipher suite and key exchange, as `TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519`.
    pub(super) fn parameters(&self) -> Option<String> {
        let version = self.connection.protocol_version()?;
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        let group = self.connection.negotiated_key_exchange_group();
        let group = group.map(|group| format!(" {:?}", group.name()));
        Some(format!("{version:?} {suite:?}{}", group.unwrap_or_default()))
    }

    /// What must stand before the next ciphertext that is given to [`Self::receive`].
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Takes ciphertext: plaintext goes to `sink`, what TLS itself has to say to `outgoing`.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<Standing, Fault> {
        let (consumed, standing) = self.advance(incoming, outgoing, sink)?;
        self.partial = Vec::from(&incoming[consumed..]);
        Ok(standing)
    }

    /// Appends `plaintext` to `outgoing`, encrypted, after whatever TLS itself has to say.
    pub(super) fn encrypt(&mut self, plaintext: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Fault> {
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

    /// Says to the peer that nothing more will be sent.
    pub(super) fn queue_close(&mut self, outgoing: &mut Vec<u8>) -> Result<(), Fault> {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
        match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                grow_until(outgoing, 64, |free| insufficient(traffic.queue_close_notify(free)))
            }
            // Not open any more: nothing to close.
            _ => Ok(()),
        }
    }

    /// Processes as much of `incoming` as it can; gives how much that is.
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
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
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
