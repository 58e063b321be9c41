//! New keys in the middle of everything.

use std::sync::Arc;
use std::task::Poll;

use headpin_slab::HeadPolicy;
use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};

use super::fixture::{Fixture, client_config, client_with_suite, pattern};
use super::pair::{Pair, feed};
use super::wire::{SEALED, Shape, record_lens};

const NARROW: Shape = Shape {
    read: 7,
    write: 7,
    hesitates: true,
};

fn for_each(mut test: impl FnMut(&mut Pair)) {
    for fixture in Fixture::all() {
        for shape in [Shape::WIDE, NARROW] {
            let config = Arc::new(client_config(&TLS13));
            let mut pair = Pair::connect(&fixture, &config, shape);
            test(&mut pair);
            assert_eq!(pair.server.buffered(), 0);
            fixture.assert_clean();
        }
    }
}

/// Asks the server for new keys in both directions.
fn client_updates_keys(pair: &mut Pair) {
    pair.client.refresh_traffic_keys().unwrap();
    pair.client_flushes();
}

const KEY_UPDATE: usize = 5 + SEALED;

#[test]
fn an_update_is_answered_before_the_next_data() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let config = Arc::new(client_config(&TLS13));
    let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
    client_updates_keys(&mut pair);
    pair.client_writes(b"under new keys");
    assert_eq!(pair.reads(), b"under new keys");

    assert!(matches!(pair.try_write(b"answer"), Poll::Ready(Ok(6))));
    let answer = pair.wire.take();
    assert_eq!(record_lens(&answer), [KEY_UPDATE, 6 + SEALED]);
    assert_eq!(feed(&mut pair.client, &answer).unwrap(), b"answer");
    assert_eq!(pair.writes(b"under new keys, too"), b"under new keys, too");
}

#[test]
fn keys_may_change_again_and_again() {
    for_each(|pair| {
        for round in 0..100_u8 {
            client_updates_keys(pair);
            pair.client_writes(&[round; 300]);
            assert_eq!(pair.reads(), [round; 300]);
            if round % 3 != 0 {
                assert_eq!(pair.writes(&[round; 700]), [round; 700]);
            }
        }
    });
}

#[test]
fn several_updates_with_nothing_between_get_one_answer() {
    for_each(|pair| {
        for _ in 0..5 {
            client_updates_keys(pair);
        }
        assert_eq!(pair.reads(), b"");
        assert_eq!(pair.writes(b"one"), b"one");
        pair.client_writes(b"two");
        assert_eq!(pair.reads(), b"two");
    });
}

#[test]
fn an_update_between_data_in_one_read_loses_nothing() {
    for_each(|pair| {
        pair.client_queues(b"before ");
        pair.client.refresh_traffic_keys().unwrap();
        pair.client_queues(b"between ");
        pair.client.refresh_traffic_keys().unwrap();
        pair.client_writes(b"after");
        assert_eq!(pair.reads(), b"before between after");
        assert_eq!(pair.writes(b"all there"), b"all there");
    });
}

#[test]
fn an_update_while_a_write_is_blocked_is_answered_behind_it() {
    let sent = pattern(40_000);
    for blocked_after in [0, 1, 5, 100, 16_405, 16_406, 20_000] {
        for_each(|pair| {
            pair.wire.open_window(Some(blocked_after));
            while pair.try_write(&sent).is_pending() {}
            assert!(pair.server.buffered() >= sent.len() - blocked_after);
            assert!(pair.try_write(b"no").is_pending());

            client_updates_keys(pair);
            pair.client_writes(b"still heard");
            assert_eq!(pair.reads(), b"still heard");
            assert!(pair.try_write(b"still no").is_pending());

            pair.wire.open_window(None);
            assert!(pair.writes(b", and then new keys") == [&sent[..], b", and then new keys"].concat());
            pair.client_writes(b"done");
            assert_eq!(pair.reads(), b"done");
        });
    }
}

#[test]
fn an_update_before_the_end_is_answered_before_close_notify() {
    for_each(|pair| {
        client_updates_keys(pair);
        assert_eq!(pair.reads(), b"");
        pair.shuts_down().unwrap();
        let last = pair.wire.take();
        assert_eq!(record_lens(&last), [KEY_UPDATE, 2 + SEALED]);
        assert_eq!(feed(&mut pair.client, &last).unwrap(), b"");
    });
}

/// The suite, with keys that are worn out after `limit` records.
fn wearing(suite: SupportedCipherSuite, limit: u64) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: limit,
    };
    match suite {
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
            common: common(&suite.common),
            hkdf_provider: suite.hkdf_provider,
            aead_alg: suite.aead_alg,
            quic: None,
        }))),
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
            common: common(&suite.common),
            prf_provider: suite.prf_provider,
            kx: suite.kx,
            sign: suite.sign,
            aead_alg: suite.aead_alg,
        }))),
    }
}

fn fixture_with(suite: SupportedCipherSuite) -> Fixture {
    let mut fixture = Fixture::new(HeadPolicy::Copy);
    fixture.use_provider(rustls::crypto::CryptoProvider {
        cipher_suites: vec![suite],
        ..aws_lc_rs::default_provider()
    });
    fixture
}

#[test]
fn worn_out_keys_are_changed_in_passing() {
    let suite = cipher_suite::TLS13_AES_128_GCM_SHA256;
    for limit in 8..12 {
        let fixture = fixture_with(wearing(suite, limit));
        let config = Arc::new(client_with_suite(&TLS13, suite));
        let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
        for len in (0..100).chain([16_384, 16_385, 40_000, 64_000]) {
            let sent = pattern(len);
            assert!(pair.writes(&sent) == sent);
            if len % 5 == 0 {
                client_updates_keys(&mut pair);
            }
            pair.client_writes(b"ok");
            assert_eq!(pair.reads(), b"ok");
        }
    }
}

#[test]
fn in_tls_1_2_worn_out_keys_end_the_connection_with_close_notify() {
    let suite = cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let fixture = fixture_with(wearing(suite, 8));
    let config = Arc::new(client_with_suite(&TLS12, suite));
    let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
    let mut written = 0;
    while let Poll::Ready(Ok(taken)) = pair.try_write(b"x") {
        written += taken;
        assert!(written < 100);
    }
    pair.shuts_down().unwrap();
    let mut reader = &pair.wire.take()[..];
    pair.client.read_tls(&mut reader).unwrap();
    assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
}
