//! The traffic secrets of a handshake (RFC 8446 section 7.1), which rustls tells its key log.
//!
//! rustls hands out keys, but not the secrets that they and all later keys come from. It tells those its key log while it
//! processes a record, on the same thread. So what is told during one call belongs to the connection that the call is for.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::{Error, KeyLog};

use super::secret::Secret;

/// Of the longest hash, SHA-384, in bytes.
pub(super) const MAX_SECRET: usize = 48;

/// A secret that the keys of one direction come from.
pub(super) type TrafficSecret = Secret<MAX_SECRET>;

const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

/// What both sides seal with after the handshake, as far as it is known.
#[derive(Default)]
pub(super) struct TrafficSecrets {
    pub(super) client: Option<TrafficSecret>,
    pub(super) server: Option<TrafficSecret>,
}

thread_local! {
    /// Only there while somebody listens: what is told at any other time is not kept.
    static TOLD: RefCell<Option<TrafficSecrets>> = const { RefCell::new(None) };
}

/// For the `key_log` of a config whose connections are to be handed to the record layer, together with
/// `enable_secret_extraction`. Nothing is logged: a secret is told to the connection that it belongs to, and to nobody else.
#[must_use]
pub fn secret_tap() -> Arc<dyn KeyLog> {
    Arc::new(Tap)
}

#[derive(Debug)]
struct Tap;

impl KeyLog for Tap {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        TOLD.with_borrow_mut(|told| {
            let Some(told) = told else { return };
            // One that is too long for every suite is missing later, which is an error.
            let secret = Secret::new(secret).ok();
            match label {
                CLIENT => told.client = secret,
                SERVER => told.server = secret,
                _ => {}
            }
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, CLIENT | SERVER)
    }
}

impl TrafficSecrets {
    /// Calls `process`, which processes records of one connection, and keeps what is told meanwhile.
    pub(super) fn listen<R>(&mut self, process: impl FnOnce() -> R) -> R {
        TOLD.set(Some(Self::default()));
        let result = process();
        let told = TOLD.take().unwrap_or_default();
        self.client = told.client.or_else(|| self.client.take());
        self.server = told.server.or_else(|| self.server.take());
        result
    }

    /// Both, the client's first.
    ///
    /// # Errors
    /// When one is not known: the config has another key log.
    pub(super) fn both(self) -> Result<(TrafficSecret, TrafficSecret), Error> {
        match (self.client, self.server) {
            (Some(client), Some(server)) => Ok((client, server)),
            _ => Err(Error::General("the config's key log is not `secret_tap`".into())),
        }
    }
}
