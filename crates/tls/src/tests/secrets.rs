//! Keys from secrets, beside those that rustls makes of the same handshake.

use std::sync::{Arc, Mutex};

use headpin_slab::HeadPolicy;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::version::TLS13;
use rustls::{CipherSuite, ConnectionTrafficSecrets, KeyLog};

use super::fixture::{Fixture, client_with_suite};
use super::pair::Pair;
use super::wire::Shape;
use crate::contexts::Contexts;
use crate::secret::Secret;
use crate::tap::{TrafficSecrets, secret_tap};
use crate::traffic::{Parts, TrafficKeys};

/// The secrets of the client and of the server.
#[derive(Debug, Default)]
struct Noted(Mutex<[Vec<u8>; 2]>);

impl KeyLog for Noted {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let side = match label {
            "CLIENT_TRAFFIC_SECRET_0" => 0,
            "SERVER_TRAFFIC_SECRET_0" => 1,
            _ => return,
        };
        self.0.lock().unwrap()[side] = secret.to_vec();
    }
}

fn assert_same(keys: &TrafficKeys, of_rustls: &ConnectionTrafficSecrets) {
    use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
    let (Aes128Gcm { key, iv } | Aes256Gcm { key, iv } | Chacha20Poly1305 { key, iv }) = of_rustls else {
        panic!("another suite");
    };
    assert_eq!(keys.key_and_iv(), (key.as_ref(), iv.as_ref()));
}

#[test]
fn keys_are_those_of_rustls_after_any_number_of_updates() {
    for suite in [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let fixture = Fixture::new(HeadPolicy::Copy);
        let noted = Arc::<Noted>::default();
        let mut config = client_with_suite(&TLS13, suite);
        config.key_log = Arc::clone(&noted) as _;
        config.enable_secret_extraction = true;
        let config = Arc::new(config);
        let parts = Parts::of(suite.suite()).unwrap();
        for updates in 0..4 {
            let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
            let keys = |side: usize| {
                let secret = Secret::new(&noted.0.lock().unwrap()[side]).unwrap();
                let mut keys = TrafficKeys::new(parts, secret, 0).unwrap();
                for _ in 0..updates {
                    keys.renew(parts, &mut Contexts::default()).unwrap();
                }
                keys
            };
            for _ in 0..updates {
                pair.client.refresh_traffic_keys().unwrap();
                pair.client_writes(b"asks for an update");
                assert_eq!(pair.reads(), b"asks for an update");
                assert_eq!(pair.writes(b"which goes first"), b"which goes first");
            }
            let (of_client, of_server) = (keys(0), keys(1));
            let rustls = pair.client.dangerous_extract_secrets().unwrap();
            assert_same(&of_client, &rustls.tx.1);
            assert_same(&of_server, &rustls.rx.1);
        }
    }
}

/// As those of pooled connections to upstreams, which tokio-rustls makes with the same config.
#[test]
fn what_is_told_while_nobody_listens_is_not_kept() {
    let tap = secret_tap();
    let tell = || {
        for label in ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"] {
            tap.log(label, &[0; 32], &[1; 32]);
        }
    };
    let listen = |to: &dyn Fn()| {
        let mut secrets = TrafficSecrets::default();
        secrets.listen(to);
        secrets
            .both()
            .map(|(client, server)| [client, server].map(|secret| secret.expose().to_vec()))
    };
    tell();
    let nothing = listen(&|| {});
    assert_eq!(
        nothing.unwrap_err().to_string(),
        "unexpected error: the config's key log is not `secret_tap`"
    );
    assert_eq!(listen(&tell).unwrap(), [[1; 32], [1; 32]]);
    assert!(listen(&|| {}).is_err(), "it was taken");
}

#[test]
fn a_suite_without_a_record_layer_is_named() {
    let error = Parts::of(CipherSuite::TLS13_AES_128_CCM_SHA256).unwrap_err();
    assert!(error.to_string().contains("TLS13_AES_128_CCM_SHA256"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let keys = TrafficKeys::new(
        Parts::of(CipherSuite::TLS13_AES_128_GCM_SHA256).unwrap(),
        Secret::new(&[0xAB; 32]).unwrap(),
        7,
    );
    assert_eq!(format!("{:?}", keys.unwrap()), "TrafficKeys { sequence: 7, .. }");
}
