//! Contexts that are kept, replaced and forgotten.

use std::sync::Arc;

use headpin_slab::HeadPolicy;
use rustls::CipherSuite;
use rustls::version::TLS13;

use super::fixture::{Fixture, client_config};
use super::pair::Pair;
use super::wire::Shape;
use crate::contexts::Contexts;
use crate::secret::Secret;
use crate::traffic::{Parts, TrafficKeys};

fn parts() -> Parts {
    Parts::of(CipherSuite::TLS13_AES_128_GCM_SHA256).unwrap()
}

fn keys(byte: u8) -> TrafficKeys {
    TrafficKeys::new(parts(), Secret::new(&[byte; 32]).unwrap(), 0).unwrap()
}

const HEADER: [u8; 5] = [23, 3, 3, 0, 24];

/// Far more keys than contexts, in turn: each record is sealed and opened with its own key.
#[test]
fn more_keys_than_contexts_are_never_mixed_up() {
    let mut contexts = Contexts::default();
    let mut pairs: Vec<_> = (0..=255).map(|byte| (keys(byte), keys(byte))).collect();
    for round in 0..3_u8 {
        for (i, (write, read)) in pairs.iter_mut().enumerate() {
            let content = [i as u8, round, 3, 4, 5, 6, 7];
            let mut sealed = [0; 24];
            write
                .seal(parts(), &mut contexts, &HEADER, (&content, 23), &mut sealed)
                .unwrap();
            let opened = read.open(parts(), &mut contexts, &HEADER, &mut sealed).unwrap();
            assert_eq!(opened, [&content[..], &[23]].concat());
        }
    }
}

/// Also when the connection is not closed but dropped.
#[test]
fn a_connection_that_is_gone_has_no_context() {
    let fixture = Fixture::new(HeadPolicy::Copy);
    let config = Arc::new(client_config(&TLS13));
    let used = || format!("{:?}", fixture.buffers).contains("used: 2");
    let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
    pair.client_writes(b"there");
    assert_eq!(pair.reads(), b"there");
    assert_eq!(pair.writes(b"and back"), b"and back");
    assert!(used(), "{:?}", fixture.buffers);
    drop(pair);
    assert!(
        format!("{:?}", fixture.buffers).contains("used: 0"),
        "{:?}",
        fixture.buffers
    );
}

#[test]
fn a_key_that_was_renewed_has_no_context() {
    let mut contexts = Contexts::default();
    let mut write = keys(1);
    for _ in 0..3 {
        write
            .seal(parts(), &mut contexts, &HEADER, (&[0; 7], 23), &mut [0; 24])
            .unwrap();
        assert_eq!(format!("{contexts:?}"), "Contexts { used: 1 }");
        write.renew(parts(), &mut contexts).unwrap();
        assert_eq!(format!("{contexts:?}"), "Contexts { used: 0 }");
    }
}
