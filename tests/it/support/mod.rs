//! What the tests are made of: certificates, an origin, a client, the proxy.

#[cfg(feature = "peers")]
pub mod browser;
pub mod client;
pub mod events;
pub mod family;
pub mod origin;
pub mod plain;
pub mod program;
pub mod proxy;
pub mod service;
#[cfg(feature = "peers")]
pub mod serving;

use std::time::Duration;

use headpin::certificates::DevelopmentCertificates;

pub use client::Client;
pub use family::Family;
pub use origin::{Origin, Scripted};
pub use plain::{EMPTY_200, get, named, reporting, status, take};
pub use proxy::Proxy;
pub use service::Service;

/// The program that is tested.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_headpin");

/// Nothing here takes this long; what does hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `future`, but not for ever.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Polls `condition` until it holds. For what has no event to wait on: gauges of another thread.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A certificate for localhost and its authority, made for this run.
pub fn certificates() -> DevelopmentCertificates {
    DevelopmentCertificates::make(["localhost", "127.0.0.1"]).expect("valid names")
}
