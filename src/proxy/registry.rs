//! The connections of one worker, and what can be said to them from outside.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::rc::Rc;
use std::task::{Context, Waker};

use rustls::{CipherSuite, ProtocolVersion};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::labels::{CloseReason, Direction};
use crate::metrics::GaugeGuard;
use crate::slab::{HeadSlot, HeldHead};

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
#[derive(Debug)]
pub struct ConnectionRecord {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) since: Instant,
    pub(crate) phase: Cell<Phase>,
    /// In the phase Http: the slice that a head would be cut from.
    pub(crate) slot: RefCell<Option<Rc<HeadSlot>>>,
    /// In the phase Tunnel: the path of the upgrade request.
    pub(crate) path: RefCell<Box<str>>,
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
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
}

impl ConnectionRecord {
    pub(crate) fn traffic(&self, direction: Direction) -> &Traffic {
        match direction {
            Direction::ToUpstream => &self.to_upstream,
            Direction::ToDownstream => &self.to_downstream,
        }
    }

    pub(crate) fn order(&self) -> Option<Order> {
        self.order.get()
    }

    /// Gives an order; one to end outranks one to close, which outranks none.
    pub(crate) fn give(&self, order: Order) {
        match (self.order.get(), order) {
            (None, _) | (Some(Order::Close(_)), Order::End(_)) => self.order.set(Some(order)),
            _ => return,
        }
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The task to wake when an order is given.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
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
        if let Some(slot) = &*self.slot.borrow() {
            slot.release();
        }
        let heads = self.heads.take();
        heads.map_or(0, |heads| {
            usize::from(heads.downstream.is_some()) + usize::from(heads.upstream.is_some())
        })
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
        let record = Rc::new(ConnectionRecord {
            id,
            peer,
            since: Instant::now(),
            phase: Cell::new(Phase::Handshake),
            slot: RefCell::default(),
            path: RefCell::default(),
            heads: RefCell::default(),
            to_upstream: Traffic::default(),
            to_downstream: Traffic::default(),
            pending: Default::default(),
            tls_buffered: Cell::new(0),
            tls: Cell::new(None),
            active: Cell::new(0),
            order: Cell::new(None),
            waker: RefCell::default(),
        });
        self.records.borrow_mut().insert(id, Rc::clone(&record));
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
    use super::*;

    /// Of this there is one for every connection, in an allocation together with two counts: the allocator's size class.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_record_fits_the_size_class_that_it_has() {
        let bytes = size_of::<ConnectionRecord>() + 2 * size_of::<usize>();
        assert!(bytes <= 224, "{bytes} bytes");
    }
}
