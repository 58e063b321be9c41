//! No peer makes the server panic, and what one does is no other connection's trouble.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;

use headpin_slab::HeadPolicy;
use rustls::{AlertDescription, ContentType, Error, PeerMisbehaved};

use super::fixture::{Fixture, VERSIONS, client_config, pattern};
use super::forge::{self, Forge, KEY_UPDATE, KEY_UPDATE_REQUESTED};
use super::pair::{Pair, feed, flight, new_client};
use super::wire::Shape;

pub(super) fn for_each_13(mut test: impl FnMut(&mut Pair, &mut Forge)) {
    for policy in HeadPolicy::ALL {
        let fixture = Fixture::new(policy);
        let (config, secrets) = forge::client_13();
        let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
        let mut forge = Forge::new(&secrets);
        test(&mut pair, &mut forge);
        drop(pair);
        fixture.assert_clean();
        an_honest_client_is_served(&fixture);
    }
}

pub(super) fn an_honest_client_is_served(fixture: &Fixture) {
    for version in VERSIONS {
        let config = Arc::new(client_config(version));
        let mut pair = Pair::connect(fixture, &config, Shape::WIDE);
        pair.client_writes(b"hello");
        assert_eq!(pair.reads(), b"hello");
        assert_eq!(pair.writes(b"world"), b"world");
        assert_eq!(pair.server.buffered(), 0);
        fixture.assert_clean();
    }
}

/// Reads the error that the client caused.
pub(super) fn read_error(pair: &mut Pair) -> Error {
    let Poll::Ready(Err(error)) = pair.read() else {
        panic!("the server did not notice");
    };
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let error = error.into_inner().unwrap();
    error.downcast_ref::<Error>().expect("of rustls").clone()
}

/// After an error a connection says the same again, writes nothing, can be shut down, and holds nothing.
pub(super) fn is_finished(pair: &mut Pair) {
    let first = read_error(pair);
    pair.wire.push(b"more");
    assert_eq!(read_error(pair), first);
    assert!(matches!(pair.try_write(b"no"), Poll::Ready(Err(_))));
    pair.shuts_down().unwrap();
    assert!(pair.wire.is_shut_down());
    assert_eq!(pair.server.buffered(), 0);
}

/// The fatal alert that has arrived at the client.
pub(super) fn alert(pair: &mut Pair) -> AlertDescription {
    match feed(&mut pair.client, &pair.wire.take()) {
        Err(Error::AlertReceived(alert)) => alert,
        other => panic!("no alert, but {other:?}"),
    }
}

pub(super) fn no_alert(pair: &mut Pair) {
    assert_eq!(pair.client_reads(), b"");
}

#[test]
fn a_key_update_in_parts_is_one_whatever_is_written_between() {
    for size in 1..=KEY_UPDATE.len() {
        for_each_13(|pair, forge| {
            for round in 0..20_u8 {
                for part in KEY_UPDATE_REQUESTED.chunks(size) {
                    let record = forge.handshake(part);
                    pair.wire.push(&record);
                    assert_eq!(pair.reads(), b"");
                    assert_eq!(pair.writes(&[round; 100]), [round; 100]);
                }
                forge.update_keys();
                assert_eq!(pair.server.buffered(), 0);
                let record = forge.data(&[round; 50]);
                pair.wire.push(&record);
                assert_eq!(pair.reads(), [round; 50]);
            }
        });
    }
}

#[test]
fn parts_may_also_be_cut_on_the_wire_with_writes_between() {
    for_each_13(|pair, forge| {
        for part in KEY_UPDATE_REQUESTED.chunks(2) {
            for byte in forge.handshake(part) {
                pair.wire.push(&[byte]);
                assert_eq!(pair.reads(), b"");
                assert_eq!(pair.writes(b"."), b".");
            }
        }
        forge.update_keys();
        pair.wire.push(&forge.data(b"done"));
        assert_eq!(pair.reads(), b"done");
        assert_eq!(pair.server.buffered(), 0);
    });
}

#[test]
fn a_close_while_a_message_is_in_parts_is_a_close() {
    for_each_13(|pair, forge| {
        pair.wire.push(&forge.handshake(&KEY_UPDATE[..3]));
        assert_eq!(pair.reads(), b"");
        pair.shuts_down().unwrap();
        no_alert(pair);
        pair.wire.push(&forge.handshake(&KEY_UPDATE[3..]));
        forge.update_keys();
        pair.wire.push(&forge.data(b"half-closed"));
        assert_eq!(pair.reads(), b"half-closed");
        pair.wire.end();
        let Poll::Ready(Err(error)) = pair.read() else {
            panic!("the end")
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn data_within_a_message_in_parts_is_an_error() {
    for together in [false, true] {
        for_each_13(|pair, forge| {
            pair.wire.push(&forge.handshake(&KEY_UPDATE[..3]));
            if !together {
                assert_eq!(pair.reads(), b"");
            }
            pair.wire.push(&forge.data(b"no"));
            let error = read_error(pair);
            assert_eq!(
                error,
                Error::PeerMisbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage)
            );
            is_finished(pair);
        });
    }
}

#[test]
fn a_message_behind_a_key_update_in_one_record_is_an_error() {
    for rest in [&KEY_UPDATE[..], &KEY_UPDATE[..1], &KEY_UPDATE[..4]] {
        for_each_13(|pair, forge| {
            pair.wire.push(&forge.handshake(&[&KEY_UPDATE, rest].concat()));
            let error = read_error(pair);
            assert_eq!(
                error,
                Error::PeerMisbehaved(PeerMisbehaved::KeyEpochWithPendingFragment)
            );
            assert_eq!(alert(pair), AlertDescription::UnexpectedMessage);
            is_finished(pair);
        });
    }
}

#[test]
fn a_message_that_has_no_place_here_is_told_so() {
    for_each_13(|pair, forge| {
        pair.wire.push(&forge.handshake(&[1, 0, 0, 0]));
        read_error(pair);
        assert_eq!(alert(pair), AlertDescription::UnexpectedMessage);
        is_finished(pair);
    });
    for_each_13(|pair, forge| {
        // An empty EndOfEarlyData.
        pair.wire.push(&forge.handshake(&[5, 0, 0, 0]));
        read_error(pair);
        assert_eq!(alert(pair), AlertDescription::UnexpectedMessage);
        is_finished(pair);
    });
}

#[test]
fn a_message_that_never_becomes_whole_is_given_up_at_48_kib() {
    for_each_13(|pair, forge| {
        let head = [24, 0, 0xff, 0xff];
        pair.wire.push(&forge.handshake(&head));
        for _ in 0..5 {
            assert!(pair.server.buffered() <= 48 * 1024);
            pair.wire.push(&forge.handshake(&[0; 10_000]));
            if pair.read().is_ready() {
                break;
            }
            assert_eq!(pair.writes(b"."), b".");
        }
        is_finished(pair);
    });
}

#[test]
fn a_message_of_more_than_64_kib_is_refused_at_its_first_part() {
    for_each_13(|pair, forge| {
        pair.wire.push(&forge.handshake(&[24, 1, 0, 0]));
        read_error(pair);
        is_finished(pair);
    });
}

#[test]
fn empty_records_are_read_over_up_to_32_in_a_row() {
    for_each_13(|pair, forge| {
        for _ in 0..3 {
            for _ in 0..32 {
                pair.wire.push(&forge.data(b""));
            }
            pair.wire.push(&forge.data(b"data"));
            assert_eq!(pair.reads(), b"data");
        }
        for _ in 0..33 {
            pair.wire.push(&forge.data(b""));
        }
        let error = read_error(pair);
        assert_eq!(error, Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments));
        is_finished(pair);
    });
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (mut pair, mut forge) = forged_12(&fixture);
    for _ in 0..32 {
        pair.wire.push(&forge.data(b""));
    }
    pair.wire.push(&forge.data(b"data"));
    assert_eq!(pair.reads(), b"data");
}

/// RFC 8446 sections 5.1 and 5.4, padded or not.
#[test]
fn handshake_and_alert_records_without_content_are_unexpected() {
    for typ in [ContentType::Handshake, ContentType::Alert] {
        for_each_13(|pair, forge| {
            pair.wire.push(&forge.data(b"fine"));
            assert_eq!(pair.reads(), b"fine");
            pair.wire.push(&forge.record(typ, b""));
            read_error(pair);
            assert_eq!(alert(pair), AlertDescription::UnexpectedMessage);
            is_finished(pair);
        });
    }
}

#[test]
fn a_corrupted_record_is_told_and_ends_the_connection() {
    for policy in HeadPolicy::ALL {
        for version in VERSIONS {
            for broken in [5, 20, 100] {
                let fixture = Fixture::new(policy);
                let config = Arc::new(client_config(version));
                let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
                pair.client_queues(&pattern(200));
                let mut record = flight(&mut pair.client);
                record[broken] ^= 1;
                pair.wire.push(&record);
                assert_eq!(read_error(&mut pair), Error::DecryptError);
                assert_eq!(alert(&mut pair), AlertDescription::BadRecordMac);
                is_finished(&mut pair);
                fixture.assert_clean();
                an_honest_client_is_served(&fixture);
            }
        }
    }
}

#[test]
fn what_came_whole_before_a_corrupted_record_is_read_first() {
    for cut in [1, 100, usize::MAX] {
        for_each_13(|pair, forge| {
            pair.wire.reshape(Shape {
                read: cut,
                ..Shape::WIDE
            });
            pair.wire.push(&forge.data(b"whole"));
            let mut record = forge.data(b"corrupted");
            record[8] ^= 1;
            pair.wire.push(&record);
            assert!(matches!(pair.read(), Poll::Ready(Ok(Some(bytes))) if bytes == b"whole"));
            assert_eq!(read_error(pair), Error::DecryptError);
            assert_eq!(alert(pair), AlertDescription::BadRecordMac);
            is_finished(pair);
        });
    }
}

#[test]
fn an_alert_waits_behind_what_is_blocked_and_goes_with_the_shutdown() {
    for_each_13(|pair, forge| {
        pair.wire.open_window(Some(10));
        assert!(matches!(pair.try_write(b"blocked"), Poll::Ready(Ok(7))));
        let mut record = forge.data(b"corrupted");
        record[8] ^= 1;
        pair.wire.push(&record);
        assert_eq!(read_error(pair), Error::DecryptError);
        assert!(pair.polls_shutdown().is_pending());
        pair.wire.open_window(None);
        pair.shuts_down().unwrap();
        let mut bytes = &pair.wire.take()[..];
        pair.client.read_tls(&mut bytes).unwrap();
        let error = pair.client.process_new_packets().unwrap_err();
        assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
        let mut read = [0; 7];
        std::io::Read::read_exact(&mut pair.client.reader(), &mut read).unwrap();
        assert_eq!(&read, b"blocked");
    });
}

#[test]
fn a_record_that_is_too_long_is_told_so() {
    for_each_13(|pair, _| {
        pair.wire.push(&[23, 3, 3, 0x50, 0]);
        read_error(pair);
        assert_eq!(alert(pair), AlertDescription::RecordOverflow);
        is_finished(pair);
    });
}

/// A connection of TLS 1.2 whose client has no eyes any more.
fn forged_12(fixture: &Fixture) -> (Pair, Forge) {
    let config = forge::client_12();
    let mut pair = Pair::connect(fixture, &config, Shape::WIDE);
    let client = std::mem::replace(&mut pair.client, new_client(&config));
    (pair, Forge::tls12(client))
}

/// A hello as a message, without the record around it.
fn hello() -> Vec<u8> {
    flight(&mut new_client(&forge::client_12()))[5..].to_vec()
}

#[test]
fn in_tls_1_2_one_renegotiation_is_declined_and_the_second_is_an_error() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (mut pair, mut forge) = forged_12(&fixture);
    pair.wire.push(&forge.handshake(&hello()));
    pair.wire.push(&forge.data(b"go on, then"));
    assert_eq!(pair.reads(), b"go on, then");
    assert_eq!(pair.wire.take()[0], u8::from(ContentType::Alert));
    pair.wire.push(&forge.handshake(&hello()));
    let error = read_error(&mut pair);
    let reason = PeerMisbehaved::TooManyRenegotiationRequests;
    assert_eq!(error, Error::PeerMisbehaved(reason));
    is_finished(&mut pair);
    fixture.assert_clean();
}

#[test]
fn after_our_close_notify_nothing_is_answered_any_more() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let (mut pair, mut forge) = forged_12(&fixture);
    pair.shuts_down().unwrap();
    pair.wire.take();
    pair.wire.push(&forge.handshake(&hello()));
    pair.wire.push(&forge.data(b"still heard"));
    assert_eq!(pair.reads(), b"still heard");
    assert_eq!(pair.wire.take(), b"");
    assert_eq!(pair.server.buffered(), 0);
    fixture.assert_clean();
}

/// With debug assertions rustls 0.23 does not expect a second alert of itself, even though this one is never sent.
#[cfg(not(debug_assertions))]
#[test]
fn a_corrupted_record_after_our_close_notify_is_an_error_without_alert() {
    for_each_13(|pair, forge| {
        pair.shuts_down().unwrap();
        pair.wire.take();
        let mut record = forge.data(b"corrupted");
        record[8] ^= 1;
        pair.wire.push(&record);
        assert_eq!(read_error(pair), Error::DecryptError);
        assert_eq!(pair.wire.take(), b"");
        is_finished(pair);
    });
}
