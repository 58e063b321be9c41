//! Tickets, which are all that resumption needs.

use std::sync::Arc;

use headpin_slab::HeadPolicy;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

use super::fixture::{Fixture, VERSIONS, client_config, client_that_trusts, pattern, resolver, server_config};
use super::pair::Pair;
use super::wire::Shape;
use crate::TlsAcceptor;

#[test]
fn a_second_connection_is_resumed() {
    for policy in HeadPolicy::ALL {
        for version in VERSIONS {
            let fixture = Fixture::new(policy);
            let config = Arc::new(client_config(version));
            for round in 0..4 {
                let pair = Pair::connect(&fixture, &config, Shape::WIDE);
                assert_eq!(pair.server.is_resumed(), round > 0, "{version:?}");
                assert_eq!(
                    pair.client.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
                    round > 0
                );
                assert_eq!(pair.server.protocol(), pair.client.protocol_version());
            }
            fixture.assert_clean();
        }
    }
}

/// Then also in TLS 1.2 the client's Finished is the last of the handshake.
#[test]
fn data_in_the_flight_of_a_resumed_finished_comes_first_and_once() {
    for policy in HeadPolicy::ALL {
        for version in VERSIONS {
            let fixture = Fixture::new(policy);
            let config = Arc::new(client_config(version));
            Pair::connect(&fixture, &config, Shape::WIDE);
            let early = pattern(20_000);
            let mut pair = Pair::connect_with(&fixture, &config, Shape::WIDE, &early);
            assert!(pair.server.is_resumed());
            assert!(pair.reads() == early);
            assert_eq!(pair.writes(b"answer"), b"answer");
            assert_eq!(pair.server.buffered(), 0);
            fixture.assert_clean();
        }
    }
}

#[test]
fn a_ticket_outlives_a_reload_of_the_certificates() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let reloaded = || resolver(made.cert.der().clone(), key.clone_key());

    let acceptor = TlsAcceptor::new().unwrap();
    for version in VERSIONS {
        let mut fixture = Fixture::new(HeadPolicy::Copy);
        let suites = aws_lc_rs::ALL_CIPHER_SUITES.to_vec();
        let config = Arc::new(client_that_trusts(made.cert.der(), version, suites));
        for reload in 0..3 {
            fixture.server = acceptor.server_config(&VERSIONS, reloaded(), None);
            let pair = Pair::connect(&fixture, &config, Shape::WIDE);
            assert_eq!(pair.server.is_resumed(), reload > 0, "{version:?}");
        }
    }
}

#[test]
fn a_ticket_of_other_keys_leads_to_a_full_handshake() {
    for version in VERSIONS {
        let mut fixture = Fixture::new(HeadPolicy::Copy);
        let config = Arc::new(client_config(version));
        Pair::connect(&fixture, &config, Shape::WIDE);
        fixture.server = server_config(&VERSIONS);
        let mut pair = Pair::connect(&fixture, &config, Shape::WIDE);
        assert!(!pair.server.is_resumed());
        pair.client_writes(b"fine");
        assert_eq!(pair.reads(), b"fine");
    }
}
