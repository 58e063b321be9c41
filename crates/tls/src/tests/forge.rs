//! Records that no honest client would send, but with the right keys.

use std::sync::{Arc, Mutex};

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv, MessageEncrypter, OutboundPlainMessage};
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, KeyLog, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};

use super::fixture::client_with_suite;

/// Its keys are 32 bytes, the nonces are the sequence numbers: the simplest to write.
const SUITE_12: SupportedCipherSuite = TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;

/// "key_update", not requesting one back (RFC 8446 section 4.6.3).
pub(super) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
/// "key_update", requesting one back.
pub(super) const KEY_UPDATE_REQUESTED: [u8; 5] = [24, 0, 0, 1, 1];

/// Notes the secrets of one connection.
#[derive(Debug, Default)]
pub(super) struct Secrets(Mutex<Vec<(String, Vec<u8>)>>);

impl Secrets {
    fn get(&self, label: &str) -> Vec<u8> {
        let secrets = self.0.lock().unwrap();
        let found = secrets.iter().rfind(|(known, _)| known == label);
        found.expect("the handshake came so far").1.clone()
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), secret.to_vec()));
    }
}

/// A TLS 1.3 client whose records can be forged.
pub(super) fn client_13() -> (Arc<ClientConfig>, Arc<Secrets>) {
    let secrets = Arc::<Secrets>::default();
    let mut config = client_with_suite(&TLS13, TLS13_CHACHA20_POLY1305_SHA256);
    config.key_log = Arc::clone(&secrets) as _;
    (Arc::new(config), secrets)
}

/// A TLS 1.2 client whose records can be forged.
pub(super) fn client_12() -> Arc<ClientConfig> {
    let mut config = client_with_suite(&TLS12, SUITE_12);
    config.enable_secret_extraction = true;
    Arc::new(config)
}

/// Writes records in a client's place, which must not write any itself from then on.
pub(super) struct Forge {
    /// Of TLS 1.3.
    secret: Option<OkmBlock>,
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forge {
    /// With the keys of TLS 1.3 after the handshake.
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self::with_secret(OkmBlock::new(&secrets.get("CLIENT_TRAFFIC_SECRET_0")))
    }

    /// With the keys of TLS 1.3 before the client's Finished.
    pub(super) fn in_handshake(secrets: &Secrets) -> Self {
        Self::with_secret(OkmBlock::new(&secrets.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET")))
    }

    /// With the keys of TLS 1.2; whoever needs `client`'s eyes after this has none.
    pub(super) fn tls12(client: ClientConnection) -> Self {
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }, SupportedCipherSuite::Tls12(suite)) =
            (secrets, SUITE_12)
        else {
            panic!("the suite is known");
        };
        Self {
            secret: None,
            encrypter: suite.aead_alg.encrypter(key, iv.as_ref(), &[]),
            sequence,
        }
    }

    fn with_secret(secret: OkmBlock) -> Self {
        let (key, iv) = keys_of(&secret);
        Self {
            encrypter: suite_13().aead_alg.encrypter(key, iv),
            secret: Some(secret),
            sequence: 0,
        }
    }

    /// One record with `content`, which may be empty or in parts.
    pub(super) fn record(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let plain = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: content.into(),
        };
        let record = self.encrypter.encrypt(plain, self.sequence).unwrap();
        self.sequence += 1;
        record.encode()
    }

    /// One record with zeros behind the type of its content (RFC 8446 section 5.4).
    pub(super) fn padded(&mut self, typ: ContentType, content: &[u8], zeros: usize) -> Vec<u8> {
        match zeros.checked_sub(1) {
            None => self.record(typ, content),
            // The last zero goes where the type does.
            Some(before) => {
                let inner = [content, &[u8::from(typ)], &vec![0; before]].concat();
                self.record(ContentType::from(0), &inner)
            }
        }
    }

    pub(super) fn data(&mut self, content: &[u8]) -> Vec<u8> {
        self.record(ContentType::ApplicationData, content)
    }

    pub(super) fn handshake(&mut self, content: &[u8]) -> Vec<u8> {
        self.record(ContentType::Handshake, content)
    }

    /// Goes on with the next keys, as after a whole key update.
    pub(super) fn update_keys(&mut self) {
        let secret = self.secret.as_ref().expect("of TLS 1.3");
        let expander = suite_13().hkdf_provider.expander_for_okm(secret);
        let next: [u8; 32] = expand(&*expander, b"traffic upd");
        *self = Self::with_secret(OkmBlock::new(&next));
    }
}

/// The content of a record that a client sealed first after the server's hello, without its type.
pub(super) fn open_in_handshake(secrets: &Secrets, record: &[u8]) -> Vec<u8> {
    let secret = OkmBlock::new(&secrets.get("CLIENT_HANDSHAKE_TRAFFIC_SECRET"));
    let (key, iv) = keys_of(&secret);
    let mut decrypter = suite_13().aead_alg.decrypter(key, iv);
    let mut payload = record[5..].to_vec();
    let sealed = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, &mut payload);
    decrypter.decrypt(sealed, 0).unwrap().payload.to_vec()
}

/// A record in clear.
pub(super) fn in_clear(typ: ContentType, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    [&[u8::from(typ), 3, 3], &len.to_be_bytes()[..], content].concat()
}

fn suite_13() -> &'static Tls13CipherSuite {
    TLS13_CHACHA20_POLY1305_SHA256.tls13().unwrap()
}

fn keys_of(secret: &OkmBlock) -> (AeadKey, Iv) {
    let expander = suite_13().hkdf_provider.expander_for_okm(secret);
    let key: [u8; 32] = expand(&*expander, b"key");
    (AeadKey::from(key), Iv::new(expand(&*expander, b"iv")))
}

/// HKDF-Expand-Label without context (RFC 8446 section 7.1).
fn expand<const LEN: usize>(expander: &dyn HkdfExpander, label: &[u8]) -> [u8; LEN] {
    let mut output = [0; LEN];
    let label_len = [u8::try_from(b"tls13 ".len() + label.len()).unwrap()];
    let info: [&[u8]; 5] = [&(LEN as u16).to_be_bytes(), &label_len, b"tls13 ", label, &[0]];
    expander.expand_slice(&info, &mut output).unwrap();
    output
}
