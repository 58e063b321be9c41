//! RFC 8446 sections 7.2 and 7.3, clause by clause, against HKDF made of nothing but HMAC.

use aws_lc_rs::hmac;
use rustls::CipherSuite;

use crate::contexts::Contexts;
use crate::secret::Secret;
use crate::traffic::{Parts, TrafficKeys};

/// Each suite with its hash and the lengths of hash and key.
const SUITES: [(CipherSuite, hmac::Algorithm, usize, usize); 3] = [
    (CipherSuite::TLS13_AES_128_GCM_SHA256, hmac::HMAC_SHA256, 32, 16),
    (CipherSuite::TLS13_AES_256_GCM_SHA384, hmac::HMAC_SHA384, 48, 32),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, hmac::HMAC_SHA256, 32, 32),
];

/// HKDF-Expand-Label(secret, label, "", length) of section 7.1; HKDF-Expand is RFC 5869 section 2.3, of which one round is enough.
fn expand_label(hash: hmac::Algorithm, secret: &[u8], label: &str, length: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let info = [
        &(length as u16).to_be_bytes()[..],
        &[label.len() as u8],
        label.as_bytes(),
        &[0],
    ]
    .concat();
    let first = hmac::sign(&hmac::Key::new(hash, secret), &[&info[..], &[1]].concat());
    first.as_ref()[..length].to_vec()
}

fn keys(suite: CipherSuite, secret: &[u8], sequence: u64) -> (Parts, TrafficKeys) {
    let parts = Parts::of(suite).unwrap();
    (
        parts,
        TrafficKeys::new(parts, Secret::new(secret).unwrap(), sequence).unwrap(),
    )
}

#[test]
fn section_7_3_key_and_iv_come_from_the_secret_by_their_labels() {
    for (suite, hash, length, key) in SUITES {
        let secret: Vec<u8> = (0..length as u8).collect();
        let (_, made) = keys(suite, &secret, 0);
        let expected = (
            expand_label(hash, &secret, "key", key),
            expand_label(hash, &secret, "iv", 12),
        );
        assert_eq!(made.key_and_iv(), (&expected.0[..], &expected.1[..]), "{suite:?}");
    }
}

#[test]
fn section_7_2_the_next_secret_comes_from_the_one_before_and_nothing_else() {
    for (suite, hash, length, key) in SUITES {
        let mut secret: Vec<u8> = (0..length as u8).collect();
        let (parts, mut made) = keys(suite, &secret, 77);
        for generation in 1..=5 {
            made.renew(parts, &mut Contexts::default()).unwrap();
            secret = expand_label(hash, &secret, "traffic upd", length);
            assert_eq!(
                made.parts(),
                (&secret[..], 0),
                "{suite:?}, {generation}: numbers begin at 0 (section 5.3)"
            );
            // Section 7.3: all keying material is computed again when the secret changes.
            let expected = (
                expand_label(hash, &secret, "key", key),
                expand_label(hash, &secret, "iv", 12),
            );
            assert_eq!(
                made.key_and_iv(),
                (&expected.0[..], &expected.1[..]),
                "{suite:?}, {generation}"
            );
        }
    }
}

/// "Implementations SHOULD delete client_/server_application_traffic_secret_N and its associated traffic keys."
#[test]
fn section_7_2_what_was_before_is_gone_from_the_keys_and_from_the_contexts() {
    for (suite, _, length, _) in SUITES {
        let secret: Vec<u8> = (1..=length as u8).collect();
        let (parts, mut made) = keys(suite, &secret, 0);
        let mut contexts = Contexts::default();
        let mut sealed = [0; 24];
        made.seal(parts, &mut contexts, &[23, 3, 3, 0, 24], (b"content", 23), &mut sealed)
            .unwrap();
        let old = made.key_and_iv().0.to_vec();
        assert!(format!("{contexts:?}").contains("used: 1"));
        made.renew(parts, &mut contexts).unwrap();
        assert!(
            format!("{contexts:?}").contains("used: 0"),
            "the context of the old key"
        );
        assert_ne!(made.key_and_iv().0, old);
        assert_ne!(made.parts().0, secret);
        // What was sealed before opens no more.
        assert!(
            made.open(parts, &mut contexts, &[23, 3, 3, 0, 24], &mut sealed)
                .is_err()
        );
    }
}
