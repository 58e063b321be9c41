//! The client's side, against rustls's server and against our own.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use headpin_slab::HeadPolicy;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, HandshakeKind, ServerConnection};

use super::fixture::{Fixture, VERSIONS, client_config, pattern};
use crate::{Client, Contexts, Outgoing, Server, Session};

/// How the wire cuts what the server sends.
const CUTS: [usize; 5] = [1, 7, 1000, 16_384, usize::MAX];

fn config(version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut config = client_config(version);
    config.enable_secret_extraction = true;
    config.key_log = crate::secret_tap();
    Arc::new(config)
}

/// Our client, and what it has to send.
struct Ours {
    session: Session<Client>,
    outgoing: Outgoing,
    contexts: Contexts,
}

impl Ours {
    fn new(config: &Arc<ClientConfig>) -> Self {
        let mut outgoing = Outgoing::default();
        let name = ServerName::try_from("localhost").unwrap();
        let session = Session::connect(Arc::clone(config), name, &mut outgoing).unwrap();
        Self {
            session,
            outgoing,
            contexts: Contexts::default(),
        }
    }

    /// Receives `ciphertext` in pieces of at most `cut` bytes.
    fn receives(&mut self, ciphertext: &[u8], cut: usize) -> Vec<u8> {
        let mut plaintext = Vec::new();
        for piece in ciphertext.chunks(cut.min(ciphertext.len().max(1))) {
            let mut bytes = [self.session.partial(), piece].concat();
            let (range, received) =
                self.session
                    .receive(&mut bytes, &mut Vec::new(), &mut self.contexts, &mut self.outgoing);
            received.unwrap();
            plaintext.extend_from_slice(&bytes[range]);
        }
        plaintext
    }

    fn sends(&mut self) -> Vec<u8> {
        let sent = self.outgoing.to_vec();
        self.outgoing.clear();
        sent
    }
}

/// All that the server has to send now.
fn sent_by(server: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn receives(server: &mut ServerConnection, mut ciphertext: &[u8]) -> Vec<u8> {
    let mut plaintext = Vec::new();
    while !ciphertext.is_empty() {
        server.read_tls(&mut ciphertext).unwrap();
        server.process_new_packets().unwrap();
        let mut piece = [0; 1 << 14];
        while let Ok(read @ 1..) = server.reader().read(&mut piece) {
            plaintext.extend_from_slice(&piece[..read]);
        }
    }
    plaintext
}

fn shake_hands(client: &mut Ours, server: &mut ServerConnection, cut: usize) {
    while client.session.is_handshaking() || server.is_handshaking() {
        assert_eq!(receives(server, &client.sends()), b"");
        assert_eq!(client.receives(&sent_by(server), cut), b"");
    }
}

#[test]
fn everything_arrives_both_ways_however_the_wire_cuts() {
    for version in VERSIONS {
        let (fixture, config) = (Fixture::new(HeadPolicy::Copy), config(version));
        for cut in CUTS {
            let mut client = Ours::new(&config);
            let mut server = ServerConnection::new(Arc::clone(&fixture.server)).unwrap();
            shake_hands(&mut client, &mut server, cut);
            assert_eq!(client.session.protocol(), server.protocol_version());
            let group = server.negotiated_key_exchange_group().map(|group| group.name());
            assert_eq!(*client.session.facts(), group);
            for len in [1, 100, 16_384, 50_000] {
                let bytes = pattern(len);
                client
                    .session
                    .encrypt(&bytes, &mut client.contexts, &mut client.outgoing)
                    .unwrap();
                assert!(receives(&mut server, &client.sends()) == bytes);
                server.writer().write_all(&bytes).unwrap();
                assert!(
                    client.receives(&sent_by(&mut server), cut) == bytes,
                    "{len} cut at {cut}"
                );
            }
            server.send_close_notify();
            client.receives(&sent_by(&mut server), cut);
            assert!(client.session.is_peer_closed() && client.session.partial().is_empty());
            client
                .session
                .close(&mut client.contexts, &mut client.outgoing)
                .unwrap();
            receives(&mut server, &client.sends());
        }
    }
}

#[test]
fn tickets_are_taken_and_used() {
    for version in VERSIONS {
        let (fixture, config) = (Fixture::new(HeadPolicy::Copy), config(version));
        for (round, cut) in CUTS.into_iter().enumerate() {
            let mut client = Ours::new(&config);
            let mut server = ServerConnection::new(Arc::clone(&fixture.server)).unwrap();
            shake_hands(&mut client, &mut server, cut);
            // Behind the handshake: the ticket of TLS 1.3, in pieces.
            server.writer().write_all(b"hello").unwrap();
            assert_eq!(client.receives(&sent_by(&mut server), cut), b"hello");
            let resumed = client.session.kind() == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, round > 0, "{version:?}, round {round}");
        }
    }
}

#[test]
fn keys_change_in_both_directions() {
    let (fixture, config) = (Fixture::new(HeadPolicy::Copy), config(&TLS13));
    for cut in CUTS {
        let mut client = Ours::new(&config);
        let mut server = ServerConnection::new(Arc::clone(&fixture.server)).unwrap();
        shake_hands(&mut client, &mut server, cut);
        for round in 0..5_u8 {
            server.refresh_traffic_keys().unwrap();
            server.writer().write_all(&[round; 100]).unwrap();
            assert_eq!(client.receives(&sent_by(&mut server), cut), [round; 100]);
            client
                .session
                .encrypt(&[round; 3000], &mut client.contexts, &mut client.outgoing)
                .unwrap();
            assert_eq!(receives(&mut server, &client.sends()), [round; 3000]);
        }
    }
}

#[test]
fn both_ends_may_be_ours() {
    for version in VERSIONS {
        let (fixture, config) = (Fixture::new(HeadPolicy::Copy), config(version));
        let mut client = Ours::new(&config);
        let mut server = Session::<Server>::accept(Arc::clone(&fixture.server)).unwrap();
        let mut answer = Outgoing::default();
        let mut contexts = Contexts::default();
        let mut server_hears = |session: &mut Session<Server>, ciphertext: &[u8], answer: &mut Outgoing| {
            let mut bytes = [session.partial(), ciphertext].concat();
            let (range, received) = session.receive(&mut bytes, &mut Vec::new(), &mut contexts, answer);
            received.unwrap();
            bytes[range].to_vec()
        };
        while client.session.is_handshaking() || server.is_handshaking() {
            server_hears(&mut server, &client.sends(), &mut answer);
            client.receives(&answer, usize::MAX);
            answer.clear();
        }
        let bytes = pattern(40_000);
        client
            .session
            .encrypt(&bytes, &mut client.contexts, &mut client.outgoing)
            .unwrap();
        assert!(server_hears(&mut server, &client.sends(), &mut answer) == bytes);
        server.encrypt(&bytes, &mut Contexts::default(), &mut answer).unwrap();
        assert!(client.receives(&answer, 1000) == bytes);
    }
}
