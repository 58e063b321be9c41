//! From rustls to the record layer: exactly behind the client's Finished, whatever comes with it and however it is cut.

use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::ServerSessionMemoryCache;
use rustls::version::TLS13;
use rustls::{AlertDescription, ContentType, Error, HandshakeKind};

use super::fixture::{Fixture, VERSIONS, client_config, pattern};
use super::forge::{self, Forge, KEY_UPDATE, KEY_UPDATE_REQUESTED, Secrets, in_clear};
use super::pair::{Pair, feed, new_client, shake, shake_with};
use super::wire::Shape;

const CUTS: [usize; 6] = [1, 3, 22, 100, 1000, usize::MAX];

fn cut_at(read: usize) -> Shape {
    Shape { read, ..Shape::WIDE }
}

/// Shakes hands over a wire that cuts, with the flight of Finished as `last` makes it.
fn connect(
    fixture: &Fixture,
    shape: Shape,
    mut last: impl FnMut(&Secrets, Vec<u8>) -> Vec<u8>,
) -> (Pair, Arc<Secrets>) {
    let (config, secrets) = forge::client_13();
    let (client, wire, result) = shake_with(fixture, new_client(&config), shape, |client, bytes| {
        if client.is_handshaking() || bytes.is_empty() {
            return bytes;
        }
        last(&secrets, bytes)
    });
    let server = result.unwrap();
    let buffers = Rc::clone(&fixture.buffers);
    let pair = Pair {
        client,
        server,
        wire,
        buffers,
    };
    (pair, secrets)
}

/// The Finished message in a flight of the client.
fn finished(secrets: &Secrets, flight: &[u8]) -> Vec<u8> {
    // The record before it is change_cipher_spec.
    assert_eq!(flight[..6], [20, 3, 3, 0, 1, 1]);
    forge::open_in_handshake(secrets, &flight[6..])
}

#[test]
fn a_hello_in_many_records_in_reads_of_their_own_is_one() {
    for fixture in Fixture::all() {
        for version in VERSIONS {
            for size in [1, 7, 50, 100] {
                for read in CUTS {
                    let mut hello = true;
                    let client = new_client(&Arc::new(client_config(version)));
                    let (_, _, result) = shake_with(&fixture, client, cut_at(read), |_, bytes| {
                        if !std::mem::take(&mut hello) {
                            return bytes;
                        }
                        let parts = bytes[5..].chunks(size);
                        parts.flat_map(|part| in_clear(ContentType::Handshake, part)).collect()
                    });
                    result.unwrap();
                }
            }
        }
    }
}

#[test]
fn a_finished_in_many_records_in_reads_of_their_own_is_one() {
    for fixture in Fixture::all() {
        for size in [1, 3, 4, 5, 20] {
            for read in CUTS {
                let (mut pair, secrets) = connect(&fixture, cut_at(read), |secrets, flight| {
                    let message = finished(secrets, &flight);
                    let mut forge = Forge::in_handshake(secrets);
                    let records = message.chunks(size).flat_map(|part| forge.handshake(part)).collect();
                    // Sealed with the next keys, and in the same reads.
                    [records, Forge::new(secrets).data(b"first")].concat()
                });
                assert_eq!(pair.reads(), b"first");
                let mut forge = Forge::new(&secrets);
                forge.data(b"first");
                pair.wire.push(&forge.data(b"second"));
                assert_eq!(pair.reads(), b"second");
                assert_eq!(pair.server.buffered(), 0);
            }
        }
    }
}

/// RFC 8446 section 5.1: "Handshake messages MUST NOT span key changes".
#[test]
fn a_message_behind_finished_in_its_record_is_unexpected() {
    for rest in [&KEY_UPDATE[..], &KEY_UPDATE[..1]] {
        for fixture in Fixture::all() {
            let (config, secrets) = forge::client_13();
            let (mut client, wire, result) = shake_with(&fixture, new_client(&config), Shape::WIDE, |client, bytes| {
                if client.is_handshaking() || bytes.is_empty() {
                    return bytes;
                }
                let message = [&finished(&secrets, &bytes), rest].concat();
                Forge::in_handshake(&secrets).handshake(&message)
            });
            assert!(result.is_err());
            let told = feed(&mut client, &wire.take());
            assert_eq!(told, Err(Error::AlertReceived(AlertDescription::UnexpectedMessage)));
        }
    }
}

#[test]
fn key_updates_and_data_behind_finished_are_in_order_and_answered() {
    for fixture in Fixture::all() {
        for read in CUTS {
            let (mut pair, _) = connect(&fixture, cut_at(read), |secrets, flight| {
                let mut forge = Forge::new(secrets);
                let mut bytes = flight;
                for round in 0..3_u8 {
                    bytes.extend(forge.data(&[round; 100]));
                    bytes.extend(forge.handshake(&KEY_UPDATE_REQUESTED));
                    forge.update_keys();
                }
                bytes.extend(forge.data(b"last"));
                bytes
            });
            let expected = [&[0; 100][..], &[1; 100], &[2; 100], b"last"].concat();
            assert_eq!(pair.reads(), expected);
            // The tickets first, then the answer to the updates.
            assert_eq!(pair.writes(b"answer"), b"answer");
            assert_eq!(pair.server.buffered(), 0);
        }
    }
}

#[test]
fn close_notify_behind_finished_is_the_end_and_not_a_failure() {
    for fixture in Fixture::all() {
        for read in CUTS {
            let (mut pair, _) = connect(&fixture, cut_at(read), |secrets, flight| {
                let mut forge = Forge::new(secrets);
                let data = forge.data(b"all");
                [flight, data, forge.record(ContentType::Alert, &[1, 0])].concat()
            });
            assert!(matches!(pair.read_to_end(), (bytes, None) if bytes == b"all"));
            assert_eq!(pair.writes(b"answer"), b"answer");
            assert_eq!(pair.server.buffered(), 0);
        }
    }
}

#[test]
fn a_fault_behind_finished_is_told_behind_the_tickets() {
    for fixture in Fixture::all() {
        let (config, secrets) = forge::client_13();
        let (mut client, wire, result) = shake_with(&fixture, new_client(&config), Shape::WIDE, |client, bytes| {
            if client.is_handshaking() || bytes.is_empty() {
                return bytes;
            }
            [bytes, Forge::in_handshake(&secrets).data(b"the keys before")].concat()
        });
        assert!(result.is_err());
        let told = feed(&mut client, &wire.take());
        assert_eq!(told, Err(Error::AlertReceived(AlertDescription::BadRecordMac)));
        assert!(client.tls13_tickets_received() > 0);
    }
}

#[test]
fn both_layers_go_on_after_another_key_share_and_after_a_resumption() {
    for mut fixture in Fixture::all() {
        let config = Arc::new(client_config(&TLS13));
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            talks(&fixture, &config, expected);
        }
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
        fixture.use_provider(provider);
        let config = Arc::new(client_config(&TLS13));
        talks(&fixture, &config, HandshakeKind::FullWithHelloRetryRequest);
    }
}

fn talks(fixture: &Fixture, config: &Arc<rustls::ClientConfig>, expected: HandshakeKind) {
    let early = pattern(20_000);
    let mut pair = Pair::connect_with(fixture, config, Shape::WIDE, &early);
    assert_eq!(pair.client.handshake_kind(), Some(expected));
    assert!(pair.reads() == early);
    assert_eq!(pair.writes(b"answer"), b"answer");
}

/// RFC 8446 section 4.2.10: records of early data that the server does not want are skipped.
#[test]
fn early_data_that_is_not_wanted_is_skipped_however_it_is_cut() {
    for mut fixture in Fixture::all() {
        for read in CUTS {
            let unwilling = Arc::clone(&fixture.server);
            let mut willing = (*unwilling).clone();
            willing.max_early_data_size = 10_000;
            willing.session_storage = ServerSessionMemoryCache::new(10);
            willing.ticketer = Arc::new(NoTickets);
            fixture.server = Arc::new(willing);

            let (mut config, _) = forge::client_13();
            Arc::get_mut(&mut config).unwrap().enable_early_data = true;
            Pair::connect(&fixture, &config, Shape::WIDE);
            fixture.server = unwilling;

            let mut client = new_client(&config);
            let mut offer = client.early_data().expect("the ticket allows it");
            offer.write_all(&[b'x'; 2000]).unwrap();
            let (client, wire, result) = shake(&fixture, client, cut_at(read), b"again");
            assert!(!client.is_early_data_accepted());
            let server = result.unwrap();
            let buffers = Rc::clone(&fixture.buffers);
            let mut pair = Pair {
                client,
                server,
                wire,
                buffers,
            };
            assert_eq!(pair.reads(), b"again");
            assert_eq!(pair.writes(b"answer"), b"answer");
            assert_eq!(pair.server.buffered(), 0);
        }
    }
}

/// Sessions are remembered by the server.
#[derive(Debug)]
struct NoTickets;

impl rustls::server::ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
