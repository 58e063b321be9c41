//! A session and its stream in a form that another process can go on with.
//!
//! These types are a part of version 1 of the hand-over's format: their fields stay as they are. What comes later needs a new version.

use std::fmt;

use rustls::Error;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::secret::Secret;
use super::traffic::{Parts, TrafficKeys};

/// All of a stream but its socket. It has the secrets of the connection: whoever reads it can read all that is said from then on.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamState {
    pub(crate) session: SessionState,
    /// Ciphertext that the socket did not take.
    pub(crate) blocked: Vec<u8>,
    /// Plaintext that was read and not delivered.
    pub(crate) early: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) close_sent: bool,
    pub(crate) answers: bool,
}

impl StreamState {
    /// Bytes that wait in it, either way.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.session.partial.len() + self.blocked.len() + self.early.len()
    }

    /// Puts `bytes`, which were delivered and not used, in front of what is read next.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.early.splice(..0, bytes.iter().copied());
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionState {
    pub(crate) records: RecordsState,
    /// Ciphertext of a record that has not come whole.
    pub(crate) partial: Vec<u8>,
    pub(crate) peer_closed: bool,
}

/// Both directions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordsState {
    /// By its number in the registry of cipher suites.
    pub(crate) suite: u16,
    pub(crate) read: KeysState,
    pub(crate) write: KeysState,
    pub(crate) message_len: u8,
    /// What has come of a message that is not a KeyUpdate.
    pub(crate) message: Vec<u8>,
    pub(crate) update_due: bool,
    pub(crate) empty_records: u8,
    pub(crate) key_updates: u8,
    pub(crate) cancels: u8,
}

/// What the keys of one direction come from.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeysState {
    secret: Zeroizing<Vec<u8>>,
    sequence: u64,
}

impl KeysState {
    pub(crate) fn of(keys: &TrafficKeys) -> Self {
        let (secret, sequence) = keys.parts();
        Self {
            secret: Zeroizing::new(secret.into()),
            sequence,
        }
    }

    pub(crate) fn keys(&self, parts: Parts) -> Result<TrafficKeys, Error> {
        if self.secret.len() != parts.hash_len() {
            return Err(Error::General("a secret of a wrong length".into()));
        }
        TrafficKeys::new(parts, Secret::new(&self.secret)?, self.sequence)
    }
}

impl fmt::Debug for KeysState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysState")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
