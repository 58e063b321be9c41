//! The connections and tunnels of one worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::{Bound, Deref};
use std::rc::Rc;

use headpin_ledger as ledger;
use tokio::time::Instant;

use super::{ConnectionRecord, Identity, TunnelRecord, TunnelTarget};

/// By id. A tree gives memory back when its records leave; a vector or a hash table would keep its peak.
type Table<T> = RefCell<BTreeMap<u64, Rc<T>>>;

/// Connections that are no tunnel, and tunnels. Ids are unique among both.
#[derive(Debug)]
pub struct Registry {
    connections: Table<ConnectionRecord>,
    tunnels: Table<TunnelRecord>,
    next_id: Cell<u64>,
    /// The maximum of both at once since [`Self::burst_is_over`] last said so.
    most: Cell<usize>,
    /// Number of workers, so that ids are unique among them.
    stride: u64,
}

/// A connection's place in the registry; it leaves when this is dropped.
pub struct ListedConnection {
    record: Rc<ConnectionRecord>,
    registry: Rc<Registry>,
}

/// A tunnel's place in the registry; it leaves when this is dropped.
pub struct ListedTunnel {
    record: Rc<TunnelRecord>,
    registry: Rc<Registry>,
}

impl Registry {
    /// For worker `worker` of `workers`.
    #[must_use]
    pub fn new(worker: usize, workers: usize) -> Rc<Self> {
        Rc::new(Self {
            connections: RefCell::default(),
            tunnels: RefCell::default(),
            next_id: Cell::new(worker as u64 + 1),
            most: Cell::new(0),
            stride: workers as u64,
        })
    }

    /// Lists a connection that was just accepted from `peer`.
    pub fn register(self: &Rc<Self>, peer: SocketAddr) -> ListedConnection {
        let id = self.next_id.get();
        self.next_id.set(id + self.stride);
        self.adopt(Identity {
            id,
            peer,
            since: Instant::now(),
            tls: Cell::new(None),
        })
    }

    /// Above every id that was given here.
    #[must_use]
    pub fn ids_end(&self) -> u64 {
        self.next_id.get()
    }

    /// From now on ids are above `after`.
    pub fn skip_ids(&self, after: u64) {
        let next = self.next_id.get();
        let missing = (after + 1).saturating_sub(next).div_ceil(self.stride);
        self.next_id.set(next + missing * self.stride);
    }

    /// Lists a connection that another process had: its id is none that is given here.
    pub fn adopt(self: &Rc<Self>, identity: Identity) -> ListedConnection {
        let id = identity.id;
        let (record, taken) = ledger::measure(|| {
            let record = Rc::new(ConnectionRecord::new(identity));
            self.connections.borrow_mut().insert(id, Rc::clone(&record));
            record
        });
        record.claim(taken);
        self.most.set(self.most.get().max(self.len()));
        ListedConnection {
            record,
            registry: Rc::clone(self),
        }
    }

    /// Calls `each` for every tunnel, none of which may leave during that.
    pub fn for_each_tunnel(&self, mut each: impl FnMut(&TunnelRecord)) {
        self.tunnels.borrow().values().for_each(|record| each(record));
    }

    /// Asks at most `most` tunnels to leave for another process that were not asked before; returns how many.
    pub fn ask_to_leave(&self, most: usize) -> usize {
        let tunnels = self.tunnels.borrow();
        let asked = tunnels.values().filter(|record| record.mailbox.ask_to_leave());
        asked.take(most).count()
    }

    /// How many tunnels there are.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.tunnels.borrow().len()
    }

    /// Calls `each` for at most `most` connections and tunnels with an id above `after`, in the order of their ids. Returns
    /// whether there are more.
    pub fn page(&self, after: u64, most: usize, mut each: impl FnMut(Listed<'_>)) -> bool {
        let (connections, tunnels) = (self.connections.borrow(), self.tunnels.borrow());
        let above = (Bound::Excluded(after), Bound::Unbounded);
        let mut connections = connections.range(above).peekable();
        let mut tunnels = tunnels.range(above).peekable();
        for _ in 0..most {
            match (connections.peek(), tunnels.peek()) {
                (Some((id, connection)), tunnel) if tunnel.is_none_or(|(other, _)| *id < *other) => {
                    each(Listed::Connection(connection));
                    connections.next();
                }
                (_, Some((_, tunnel))) => {
                    each(Listed::Tunnel(tunnel));
                    tunnels.next();
                }
                (_, None) => return false,
            }
        }
        connections.peek().is_some() || tunnels.peek().is_some()
    }

    /// Going to `copy`: releases every held head and remembered slice; returns how many heads were held.
    pub fn release_heads(&self) -> usize {
        self.connections.borrow().values().for_each(|record| record.release());
        self.tunnels.borrow().values().map(|record| record.release()).sum()
    }

    /// Whether there are less than half of the maximum since this last said so. However short the burst.
    pub fn burst_is_over(&self) -> bool {
        let is_over = self.len() < self.most.get() / 2;
        if is_over {
            self.most.set(self.len());
        }
        is_over
    }

    /// Connections and tunnels that are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.borrow().len() + self.tunnels.borrow().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is listed.
#[derive(Debug, Clone, Copy)]
pub enum Listed<'a> {
    /// A connection that is no tunnel.
    Connection(&'a ConnectionRecord),
    /// A tunnel.
    Tunnel(&'a TunnelRecord),
}

impl Listed<'_> {
    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Connection(record) => &record.identity,
            Self::Tunnel(record) => &record.identity,
        }
    }
}

impl ListedConnection {
    /// Its record, for whoever claims memory for it.
    #[must_use]
    pub fn record(&self) -> &Rc<ConnectionRecord> {
        &self.record
    }

    /// It is a tunnel to `target` from now on, under the same id, and so is what it has claimed.
    #[must_use]
    pub fn into_tunnel(self, target: TunnelTarget) -> ListedTunnel {
        let record = Rc::new(TunnelRecord::new(self.identity.clone(), target));
        let mut tunnels = self.registry.tunnels.borrow_mut();
        tunnels.insert(self.identity.id, Rc::clone(&record));
        drop(tunnels);
        self.continue_as(&record);
        ListedTunnel {
            record,
            registry: Rc::clone(&self.registry),
        }
    }
}

impl Deref for ListedConnection {
    type Target = ConnectionRecord;

    fn deref(&self) -> &ConnectionRecord {
        &self.record
    }
}

impl Drop for ListedConnection {
    fn drop(&mut self) {
        self.registry.connections.borrow_mut().remove(&self.identity.id);
    }
}

impl fmt::Debug for ListedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

impl ListedTunnel {
    /// Its record, for whoever claims memory for it.
    #[must_use]
    pub fn record(&self) -> &Rc<TunnelRecord> {
        &self.record
    }
}

impl Deref for ListedTunnel {
    type Target = TunnelRecord;

    fn deref(&self) -> &TunnelRecord {
        &self.record
    }
}

impl Drop for ListedTunnel {
    fn drop(&mut self) {
        self.registry.tunnels.borrow_mut().remove(&self.identity.id);
    }
}

impl fmt::Debug for ListedTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use headpin_slab::HeadSlot;

    use super::*;

    /// A size class of the allocator, with the two counters. The route and the place in a server took it above the class of 192
    /// bytes: a reload brings a tunnel to its new route, and a server that leaves takes its tunnels along.
    const MOST_BYTES: usize = 224;

    /// What stands for the slot of a connection's stream.
    #[derive(Default)]
    struct Io(HeadSlot);

    impl AsRef<HeadSlot> for Io {
        fn as_ref(&self) -> &HeadSlot {
            &self.0
        }
    }

    fn peer() -> SocketAddr {
        "192.0.2.1:1".parse().unwrap()
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_record_has_not_grown() {
        let counts = 2 * size_of::<usize>();
        let bytes = size_of::<TunnelRecord>() + counts;
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
        let bytes = size_of::<ConnectionRecord>() + counts;
        assert!(bytes <= 128, "{bytes} bytes");
    }

    #[test]
    fn what_http_is_taken_to_hold_does_not_grow_with_requests() {
        let connection = Registry::new(0, 1).register(peer());
        connection.speaks_http(Rc::new(Io::default()));
        connection.claim(10_000);
        for _ in 0..1000 {
            connection.request_begins();
            connection.claim(500);
        }
        assert!(
            (10_000..12_000).contains(&connection.claimed()),
            "{}",
            connection.claimed()
        );
        connection.claim(1 << 30);
        let most = connection.claimed();
        assert_eq!(most, 128 << 10);
        let record = Rc::clone(connection.record());
        let tunnel = connection.into_tunnel(TunnelTarget::for_test("/"));
        // What the connection's task takes and gives back to its end is the tunnel's.
        record.claim(1000);
        assert_eq!((record.claimed(), tunnel.claimed()), (0, most + 1000));
    }

    #[test]
    fn a_tunnel_takes_the_place_of_its_connection() {
        let registry = Registry::new(1, 3);
        let [first, second, third] = [(); 3].map(|()| registry.register(peer()));
        let tunnel = second.into_tunnel(TunnelTarget::for_test("/chat"));
        assert_eq!(registry.len(), 3);
        let listed = |after, most| {
            let mut ids = Vec::new();
            let more = registry.page(after, most, |listed| {
                ids.push((listed.identity().id, matches!(listed, Listed::Tunnel(_))));
            });
            (ids, more)
        };
        assert_eq!(listed(0, 2), (vec![(2, false), (5, true)], true));
        assert_eq!(listed(5, 2), (vec![(8, false)], false));
        assert_eq!(listed(0, 3), (vec![(2, false), (5, true), (8, false)], false));
        drop((first, tunnel, third));
        assert!(registry.is_empty());
    }
}
