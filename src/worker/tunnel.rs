//! What is known of a tunnel by others than itself.

use std::cell::{Cell, RefCell};

use headpin_ledger::Claim;
use headpin_slab::HeldHead;

use super::{Identity, Mailbox};
use crate::observe::labels::{Direction, MemoryPart};

/// The heads that a tunnel holds.
#[derive(Debug, Default)]
pub struct Heads {
    /// What the client sent behind its request.
    pub downstream: Option<HeldHead>,
    /// What the upstream sent behind its 101.
    pub upstream: Option<HeldHead>,
}

impl Heads {
    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.downstream.is_some()) + usize::from(self.upstream.is_some())
    }
}

/// Bytes and frames of one direction of a tunnel.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes relayed.
    pub bytes: Cell<u64>,
    /// Frames relayed.
    pub frames: Cell<u64>,
}

/// A tunnel, for the registry and all who ask it.
#[derive(Debug)]
pub struct TunnelRecord {
    /// Whose it is. A tunnel of HTTP/1.1 has the id of the connection that it was.
    pub identity: Identity,
    /// Path of the upgrade request.
    pub path: Box<str>,
    /// The held heads, `None` if there are none.
    pub heads: RefCell<Option<Box<Heads>>>,
    to_upstream: Traffic,
    to_downstream: Traffic,
    /// Bytes that wait to be written to the upstream and to the client.
    pub pending: [Cell<u32>; 2],
    /// Bytes that wait within TLS.
    pub tls_buffered: Cell<u32>,
    /// The worker's tick when something last moved.
    pub active: Cell<u32>,
    /// All that it holds but its TLS session and what waits.
    claim: Claim,
    /// The orders to its task.
    pub mailbox: Mailbox,
}

impl TunnelRecord {
    pub(super) fn new(identity: Identity, path: Box<str>) -> Self {
        Self {
            identity,
            path,
            heads: RefCell::default(),
            to_upstream: Traffic::default(),
            to_downstream: Traffic::default(),
            pending: Default::default(),
            tls_buffered: Cell::new(0),
            active: Cell::new(0),
            claim: Claim::new(MemoryPart::Tunnels),
            mailbox: Mailbox::default(),
        }
    }

    /// What one direction has moved.
    pub fn traffic(&self, direction: Direction) -> &Traffic {
        match direction {
            Direction::ToUpstream => &self.to_upstream,
            Direction::ToDownstream => &self.to_downstream,
        }
    }

    /// Claims `bytes` more for this tunnel, until it is gone; a negative number gives back.
    pub fn claim(&self, bytes: i64) {
        self.claim.add(bytes, i32::MAX);
    }

    /// What is claimed for it now, in bytes: all but its TLS session and what waits.
    pub fn claimed(&self) -> usize {
        usize::try_from(self.claim.get()).unwrap_or(0)
    }

    /// Holds `heads` from now on.
    pub fn hold(&self, heads: Heads) {
        self.heads.replace((heads.count() > 0).then(|| Box::new(heads)));
    }

    /// Going to `copy`: lets go of the heads; returns how many there were.
    pub(super) fn release(&self) -> usize {
        self.heads.take().map_or(0, |heads| heads.count())
    }
}
