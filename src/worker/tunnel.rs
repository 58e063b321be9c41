//! What is known of a tunnel by others than itself.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use headpin_ledger::Claim;
use headpin_slab::HeldHead;

use super::{Identity, Mailbox};
use crate::observe::labels::{Direction, HeadPolicy, MemoryPart};
use crate::route::{Route, Routes};
use crate::upstream::{InTunnel, InUse, Server};

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

/// Where a tunnel leads.
pub struct TunnelTarget {
    /// Path of the upgrade request.
    pub path: Box<str>,
    /// The one that it took, or what that is in the config of today.
    route: Cell<Option<Arc<Route>>>,
    /// In its server.
    place: InTunnel,
}

impl TunnelTarget {
    /// To `path` by `route`, in the server of `place`.
    #[must_use]
    pub fn new(path: Box<str>, route: Arc<Route>, place: InUse) -> Self {
        Self {
            path,
            route: Cell::new(Some(route)),
            place: place.into_tunnel(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(path: &str) -> Self {
        Self::new(path.into(), Arc::new(Route::named("test")), InUse::for_test())
    }

    /// The policy for its heads, if the route has one of its own.
    pub fn head_policy(&self) -> Option<HeadPolicy> {
        self.with_route(|route| route.head_policy)
    }

    /// What `ask` says of its route.
    pub fn with_route<T>(&self, ask: impl FnOnce(&Route) -> T) -> T {
        let route = self.route.take().expect("it is always put back");
        let answer = ask(&route);
        self.route.set(Some(route));
        answer
    }

    /// It goes by the route of the same name in `routes` from now on. If there is none, its route is gone.
    pub fn follow(&self, routes: &Routes) {
        match self.with_route(|route| routes.by_name(&route.name).cloned()) {
            Some(route) if route.upstream().is_some() => self.route.set(Some(route)),
            _ => self.with_route(Route::set_gone),
        }
    }

    /// Its server.
    pub fn server(&self) -> &Server {
        self.place.server()
    }

    /// Whether its server is in no config any more.
    pub fn is_server_gone(&self) -> bool {
        self.server().state.is_gone.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for TunnelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelTarget")
            .field("path", &self.path)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// A tunnel, for the registry and all who ask it.
#[derive(Debug)]
pub struct TunnelRecord {
    /// Whose it is. A tunnel of HTTP/1.1 has the id of the connection that it was.
    pub identity: Identity,
    /// Where it leads.
    pub target: TunnelTarget,
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
    pub(super) fn new(identity: Identity, target: TunnelTarget) -> Self {
        Self {
            identity,
            target,
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

    /// Going to `copy`: lets go of the heads, unless its route pins them whatever else is said; returns how many there were.
    pub fn release(&self) -> usize {
        if self.target.head_policy() == Some(HeadPolicy::Pin) {
            return 0;
        }
        self.heads.take().map_or(0, |heads| heads.count())
    }
}
