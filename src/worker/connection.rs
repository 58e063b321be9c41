//! What is known of a connection by others than itself.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;

use headpin_ledger::Claim;
use headpin_slab::{HeadSlot, SlicePlace};

use super::{Identity, TunnelRecord};
use crate::observe::labels::MemoryPart;

/// The maximum that a connection is taken to hold while it speaks HTTP, in bytes: its task, and what is read ahead both ways.
///
/// What is measured in its polls is not a bound: a message's head and the channel of its body are given back in the poll of
/// the upstream's connection, which is not measured.
const MOST_OF_HTTP: i32 = 128 << 10;

/// What a connection holds between two requests, in bytes.
#[derive(Debug, Default, Clone, Copy)]
enum AtRest {
    /// No request has come.
    #[default]
    Unknown,
    /// The first request is under way.
    Soon,
    /// This much.
    Known(i32),
}

/// A connection in its handshake or in HTTP. One that was upgraded is a [`TunnelRecord`].
pub struct ConnectionRecord {
    /// Who it is.
    pub identity: Identity,
    /// From the end of the handshake on: what has the slice that a head would be cut from.
    slot: OnceCell<Rc<dyn AsRef<HeadSlot>>>,
    /// All that it holds but its TLS session and what waits.
    claim: Claim,
    at_rest: Cell<AtRest>,
    /// Once it is a tunnel: who claims what its task still takes and gives back.
    tunnel: OnceCell<Rc<TunnelRecord>>,
}

impl ConnectionRecord {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            slot: OnceCell::new(),
            claim: Claim::new(MemoryPart::Http),
            at_rest: Cell::default(),
            tunnel: OnceCell::new(),
        }
    }

    /// The handshake is done and it speaks HTTP; `slot` has the slice that a head would be cut from.
    pub fn speaks_http(&self, slot: Rc<dyn AsRef<HeadSlot>>) {
        // Once: a connection shakes hands once.
        let _ = self.slot.set(slot);
    }

    /// Whether its handshake is done.
    pub fn is_http(&self) -> bool {
        self.slot.get().is_some()
    }

    /// Claims `bytes` more for this connection, or for the tunnel that it has become; a negative number gives back.
    pub fn claim(&self, bytes: i64) {
        match self.tunnel.get() {
            Some(tunnel) => tunnel.claim(bytes),
            None if self.is_http() => self.claim.add(bytes, MOST_OF_HTTP),
            None => self.claim.add(bytes, i32::MAX),
        }
    }

    /// What is claimed for it now, in bytes: all but its TLS session and what waits.
    pub fn claimed(&self) -> usize {
        usize::try_from(self.claim.get()).unwrap_or(0)
    }

    /// A request has come, so all of those before are done: it holds what it held then, whatever was measured since.
    pub fn request_begins(&self) {
        self.at_rest.set(match self.at_rest.get() {
            AtRest::Unknown => AtRest::Soon,
            AtRest::Soon => AtRest::Known(self.claim.get()),
            AtRest::Known(claimed) => {
                self.claim.set(claimed);
                AtRest::Known(claimed)
            }
        });
    }

    /// `tunnel` claims from now on what this connection has claimed.
    pub(super) fn continue_as(&self, tunnel: &Rc<TunnelRecord>) {
        tunnel.claim(self.claim.take().into());
        // Once: a tunnel stays one.
        let _ = self.tunnel.set(Rc::clone(tunnel));
    }

    /// The tunnel that it has become, if it has.
    pub fn tunnel(&self) -> Option<&Rc<TunnelRecord>> {
        self.tunnel.get()
    }

    /// Where the slice lies that a head would be cut from, if it is remembered.
    pub fn last_slice(&self) -> Option<SlicePlace> {
        self.slot.get().and_then(|slot| (**slot).as_ref().remembered())
    }

    /// Going to `copy`: lets go of what is remembered.
    pub(super) fn release(&self) {
        if let Some(slot) = self.slot.get() {
            (**slot).as_ref().release();
        }
    }
}

impl fmt::Debug for ConnectionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionRecord")
            .field("identity", &self.identity)
            .field("is_http", &self.is_http())
            .finish_non_exhaustive()
    }
}
