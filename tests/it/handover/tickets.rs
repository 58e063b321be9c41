//! Tickets stay good: after an upgrade, and at every proxy that has the same keys.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use crate::support::client::client_config;
use crate::support::{Client, Family, Origin, soon};

const RESUMED: &str = "headpin_tls_handshakes_total{result=\"resumed\"}";

/// Settings of connections that come back.
fn comes_back(family: &Family, version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    Arc::new(client_config(family.roots.clone(), &[version]))
}

async fn comes(family: &Family, config: &Arc<ClientConfig>) {
    let connecting = Client::connect_by(family.address, Arc::clone(config));
    let mut client = soon("connect", connecting).await;
    // A ticket comes with what is read next.
    client.upgrade("/echo", b"").await;
    client.echo(b"a ticket came before this").await;
}

async fn family(settings: &str) -> (Origin, Family) {
    let origin = Origin::demo().await;
    let servers = [format!("http://{}", origin.address)];
    let family = Family::start(&servers, settings).await;
    (origin, family)
}

#[tokio::test]
async fn a_ticket_outlives_the_process_that_gave_it() {
    let (_origin, family) = family("server.workers = 2").await;
    let kept = [&TLS12, &TLS13].map(|version| comes_back(&family, version));
    for config in &kept {
        comes(&family, config).await;
    }
    for _ in 0..2 {
        family.upgrade().await;
        assert_eq!(family.series(RESUMED).await, 0.0);
        for config in &kept {
            comes(&family, config).await;
        }
        assert_eq!(family.series(RESUMED).await, 2.0);
    }
}

#[tokio::test]
async fn a_fleet_with_one_file_of_keys_is_one() {
    let (_origin, first) = family("server.workers = 1").await;
    let keys = first.folder.path().join("keys.txt");
    std::fs::write(&keys, format!("0 {}\n", "7".repeat(64))).unwrap();
    let settings = format!("server.workers = 1\ntls.ticket_keys = {keys:?}");
    let (_origin, one) = family(&settings).await;
    let (_other_origin, other) = family(&settings).await;
    // They have certificates of their own; who comes back is not shown one.
    let config = comes_back(&one, &TLS13);
    comes(&one, &config).await;
    comes(&other, &config).await;
    assert_eq!(other.series(RESUMED).await, 1.0);

    // Read again when it changes: what the old key has sealed opens no more.
    std::fs::write(&keys, format!("0 {}\n", "8".repeat(64))).unwrap();
    for family in [&one, &other] {
        family.log().wait_for("config reloaded", 1).await;
    }
    comes(&one, &config).await;
    assert_eq!(one.series(RESUMED).await, 0.0);
    // A line that is no key changes nothing, and is told without the key.
    std::fs::write(&keys, "0 888\n").unwrap();
    let line = one.log().wait_for("config not reloaded, nothing has changed", 1).await;
    let error = line["error"].as_str().unwrap();
    assert!(
        error.contains("tls.ticket_keys") && error.contains("keys.txt:1: not a ticket key"),
        "{error}"
    );
}
