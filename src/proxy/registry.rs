//! The connections of one worker, and what can be said to them from outside.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Bound;
use std::rc::Rc;
use std::task::{Context, Waker};

use headpin_ledger as ledger;
use headpin_slab::{HeldHead, SlicePlace};
use rustls::{CipherSuite, ProtocolVersion};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::head_io::IoState;
use crate::labels::{CloseReason, Direction, MemoryPart};
use crate::metrics::GaugeGuard;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// TLS is being negotiated.
    Handshake,
    /// It speaks HTTP.
    Http,
    /// It is a tunnel.
    Tunnel,
}

/// What a tunnel is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Send Close 1001 to both sides at the next frame boundary, and end when they have answered.
    Close(CloseReason),
    /// End now.
    End(CloseReason),
}

/// Most that a connection is taken to hold while it speaks HTTP, in bytes: its task, and what is read ahead both ways.
///
/// What is measured in its polls is no bound: a message's head and the channel of its body are given back in the poll of
/// the upstream's connection, which is not measured.
const MOST_OF_HTTP: i32 = 128 << 10;

/// What a connection holds between two requests, in bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum AtRest {
    /// No request has come.
    #[default]
    Unknown,
    /// The first request is under way.
    Soon,
    /// This much.
    Known(i32),
}

/// The heads that a tunnel holds.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub(crate) downstream: Option<HeldHead>,
    pub(crate) upstream: Option<HeldHead>,
}

/// Bytes and frames of one direction of a tunnel.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes: Cell<u64>,
    pub(crate) frames: Cell<u64>,
}

/// What is known of a connection by others than itself: the registry's view of it.
pub struct ConnectionRecord {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) since: Instant,
    pub(crate) phase: Cell<Phase>,
    /// In the phase Http: with the slice that a head would be cut from.
    pub(crate) io: Cell<Option<Rc<IoState>>>,
    /// From the phase Tunnel on: the path of the upgrade request.
    path: OnceCell<Box<str>>,
    /// The held heads, `None` if there are none: the upstream's from its 101 on, the downstream's from the tunnel on.
    pub(crate) heads: RefCell<Option<Box<Heads>>>,
    pub(crate) to_upstream: Traffic,
    pub(crate) to_downstream: Traffic,
    /// In the phase Tunnel: bytes that wait to be written to the upstream, to the client, and within TLS.
    pub(crate) pending: [Cell<u32>; 2],
    pub(crate) tls_buffered: Cell<u32>,
    /// What the handshake came to.
    pub(crate) tls: Cell<Option<(ProtocolVersion, CipherSuite)>>,
    /// The worker's tick when something last moved.
    pub(crate) active: Cell<u32>,
    /// What is claimed for it, as the part of its phase, in bytes: all but its TLS session and what waits.
    claimed: Cell<i32>,
    order: Cell<Option<Order>>,
    waker: Cell<Option<Waker>>,
}

impl ConnectionRecord {
    pub(crate) fn traffic(&self, direction: Direction) -> &Traffic {
        match direction {
            Direction::ToUpstream => &self.to_upstream,
            Direction::ToDownstream => &self.to_downstream,
        }
    }

    /// Claims `bytes` more for this connection, until it is gone; a negative number gives back.
    pub(crate) fn claim(&self, bytes: i64) {
        // Far below 2 GiB: what waits, which has no such limit, is claimed elsewhere. If it is not, the claim stays at its
        // bound, and does not lose what was asked for.
        let sum = i64::from(self.claimed.get()).saturating_add(bytes);
        let claimed = sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        self.set_claim(match self.phase.get() {
            Phase::Handshake | Phase::Tunnel => claimed,
            Phase::Http => claimed.min(MOST_OF_HTTP),
        });
    }

    fn set_claim(&self, claimed: i32) {
        let before = self.claimed.replace(claimed);
        ledger::claim(self.part(), i64::from(claimed) - i64::from(before));
    }

    /// A request has come, so all of those before are done: it holds what it held then, whatever was measured since.
    pub(crate) fn request_begins(&self, at_rest: &Cell<AtRest>) {
        at_rest.set(match at_rest.get() {
            AtRest::Unknown => AtRest::Soon,
            AtRest::Soon => AtRest::Known(self.claimed.get()),
            AtRest::Known(claimed) => {
                self.set_claim(claimed);
                AtRest::Known(claimed)
            }
        });
    }

    /// What is claimed for it now, in bytes: all but its TLS session and what waits.
    pub(crate) fn claimed(&self) -> usize {
        usize::try_from(self.claimed.get()).unwrap_or(0)
    }

    /// Path of the upgrade request; empty if it is no tunnel.
    pub(crate) fn path(&self) -> &str {
        self.path.get().map_or("", |path| path)
    }

    /// The connection is a tunnel to `path` from now on, and so is what it has claimed.
    pub(crate) fn become_tunnel(&self, path: Box<str>) {
        // Set once: a tunnel stays one.
        let _ = self.path.set(path);
        let claimed = i64::from(self.claimed.get());
        ledger::claim(self.part(), -claimed);
        self.phase.set(Phase::Tunnel);
        ledger::claim(self.part(), claimed);
    }

    fn part(&self) -> MemoryPart {
        match self.phase.get() {
            Phase::Handshake | Phase::Http => MemoryPart::Http,
            Phase::Tunnel => MemoryPart::Tunnels,
        }
    }

    pub(crate) fn order(&self) -> Option<Order> {
        self.order.get()
    }

    /// Gives an order and wakes the tunnel's task if that changed anything.
    pub(crate) fn give(&self, order: Order) {
        if self.set_order(order)
            && let Some(waker) = self.waker.take()
        {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Puts an order in force, for the tunnel itself, which needs no waking; false if one that ranks as high is already.
    /// One to end outranks one to close, which outranks none.
    pub(crate) fn set_order(&self, order: Order) -> bool {
        let outranks = matches!(
            (self.order.get(), order),
            (None, _) | (Some(Order::Close(_)), Order::End(_))
        );
        if outranks {
            self.order.set(Some(order));
        }
        outranks
    }

    /// The task to wake when an order is given.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let waker = self.waker.take().filter(|waker| waker.will_wake(cx.waker()));
        self.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
    }

    /// In the phase Http: where the slice lies that a head would be cut from, if it is remembered.
    pub(crate) fn last_slice(&self) -> Option<SlicePlace> {
        self.io().and_then(|io| io.slot.remembered())
    }

    fn io(&self) -> Option<Rc<IoState>> {
        let io = self.io.take();
        self.io.set(io.clone());
        io
    }

    /// Changes which heads are held.
    pub(crate) fn hold(&self, change: impl FnOnce(&mut Heads)) {
        let mut held = self.heads.borrow_mut();
        let mut heads = held.take().map_or_else(Heads::default, |heads| *heads);
        change(&mut heads);
        *held = (heads.downstream.is_some() || heads.upstream.is_some()).then(|| Box::new(heads));
    }

    /// Lets go of everything that is held for `pin`; returns how many heads that were.
    fn release(&self) -> usize {
        if let Some(io) = self.io() {
            io.slot.release();
        }
        let heads = self.heads.take();
        heads.map_or(0, |heads| {
            usize::from(heads.downstream.is_some()) + usize::from(heads.upstream.is_some())
        })
    }
}

impl fmt::Debug for ConnectionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionRecord")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Drop for ConnectionRecord {
    fn drop(&mut self) {
        ledger::claim(self.part(), -i64::from(self.claimed.get()));
    }
}

/// A connection's place in the registry; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) record: Rc<ConnectionRecord>,
    registry: Rc<Registry>,
    _open: GaugeGuard,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.records.borrow_mut().remove(&self.record.id);
    }
}

/// The connections of one worker.
#[derive(Debug)]
pub struct Registry {
    /// A tree gives memory back when connections leave; a vector or a hash table would keep its peak.
    records: RefCell<BTreeMap<u64, Rc<ConnectionRecord>>>,
    next_id: Cell<u64>,
    /// Most connections at once since [`Self::burst_is_over`] last said so.
    most: Cell<usize>,
    /// Number of workers, so that ids are unique among them.
    stride: u64,
}

impl Registry {
    /// For worker `worker` of `workers`.
    #[must_use]
    pub fn new(worker: usize, workers: usize) -> Rc<Self> {
        Rc::new(Self {
            records: RefCell::default(),
            next_id: Cell::new(worker as u64 + 1),
            most: Cell::new(0),
            stride: workers as u64,
        })
    }

    pub(crate) fn register(
        self: &Rc<Self>,
        peer: SocketAddr,
        open: GaugeGuard,
        permit: OwnedSemaphorePermit,
    ) -> Registration {
        let id = self.next_id.get();
        self.next_id.set(id + self.stride);
        let (record, taken) = ledger::measure(|| {
            let record = Rc::new(ConnectionRecord {
                id,
                peer,
                since: Instant::now(),
                phase: Cell::new(Phase::Handshake),
                io: Cell::default(),
                path: OnceCell::new(),
                heads: RefCell::default(),
                to_upstream: Traffic::default(),
                to_downstream: Traffic::default(),
                pending: Default::default(),
                tls_buffered: Cell::new(0),
                tls: Cell::new(None),
                active: Cell::new(0),
                claimed: Cell::new(0),
                order: Cell::new(None),
                waker: Cell::default(),
            });
            self.records.borrow_mut().insert(id, Rc::clone(&record));
            record
        });
        record.claim(taken);
        self.most.set(self.most.get().max(self.len()));
        Registration {
            record,
            registry: Rc::clone(self),
            _open: open,
            _permit: permit,
        }
    }

    /// Calls `each` for every connection, which must not leave during that.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&ConnectionRecord)) {
        for record in self.records.borrow().values() {
            each(record);
        }
    }

    /// Calls `each` for at most `most` connections with an id above `after`, in their order, and says whether there are more.
    pub(crate) fn page(&self, after: u64, most: usize, mut each: impl FnMut(&ConnectionRecord)) -> bool {
        let records = self.records.borrow();
        let mut rest = records.range((Bound::Excluded(after), Bound::Unbounded));
        rest.by_ref().take(most).for_each(|(_, record)| each(record));
        rest.next().is_some()
    }

    /// Going to `copy`: releases every held head and remembered slice; returns how many heads were held.
    pub fn release_heads(&self) -> usize {
        let mut released = 0;
        self.for_each(|record| released += record.release());
        released
    }

    /// Whether connections have fallen to less than half of the most since this last said so. However short the burst.
    pub(crate) fn burst_is_over(&self) -> bool {
        let is_over = self.len() < self.most.get() / 2;
        if is_over {
            self.most.set(self.len());
        }
        is_over
    }

    /// Connections that are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.borrow().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    /// With its two counters it fills a size class of the allocator: a word more costs every connection 32 bytes.
    const MOST_BYTES: usize = 192;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_record_has_not_grown() {
        let bytes = size_of::<ConnectionRecord>() + 2 * size_of::<usize>();
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    }

    #[test]
    fn what_http_is_taken_to_hold_does_not_grow_with_requests() {
        let open = prometheus::IntGauge::new("open", "connections").unwrap();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let peer = "192.0.2.1:1".parse().unwrap();
        let registration = Registry::new(0, 1).register(peer, GaugeGuard::new(&open), permit);
        let record = &registration.record;
        record.phase.set(Phase::Http);
        record.claim(10_000);
        let at_rest = Cell::default();
        for _ in 0..1000 {
            record.request_begins(&at_rest);
            record.claim(500);
        }
        assert!((10_000..12_000).contains(&record.claimed()), "{}", record.claimed());
        record.claim(1 << 30);
        assert_eq!(record.claimed(), MOST_OF_HTTP as usize);
        record.become_tunnel("/".into());
        record.claim(1000);
        assert_eq!(record.claimed(), MOST_OF_HTTP as usize + 1000);
        record.claim(1 << 40);
        assert_eq!(
            record.claimed(),
            i32::MAX as usize,
            "a claim too large is bounded, not lost"
        );
    }
}
