//! What viewers know of slabs and connections, and what has changed since.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use headpin_slab::{SlabId, SlabReport};

use crate::observe::census::{ConnectionRow, WorkerRows};

/// The maximum of connections in a frame of which only the traffic has changed; they take turns. It bounds the
/// bytes per second when all of them talk.
const MOVED_PER_FRAME: usize = 1000;

/// Slabs and connections as viewers know them.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) slabs: BTreeMap<SlabId, SlabReport>,
    pub(super) connections: BTreeMap<u64, ConnectionRow>,
    /// Live slabs kept for the next one.
    pub(super) spares: usize,
    /// Where the next frame begins to look for traffic.
    turn: u64,
}

/// Which slabs and connections go into a frame.
#[derive(Debug)]
pub(super) struct Changes {
    /// All that there is, not the difference.
    pub(super) is_whole: bool,
    pub(super) slabs: Vec<SlabId>,
    pub(super) slabs_gone: Vec<SlabId>,
    pub(super) connections: Vec<u64>,
    /// Only their traffic has changed.
    pub(super) moved: Vec<u64>,
    pub(super) connections_gone: Vec<u64>,
}

impl Picture {
    /// Takes in what the workers say; returns what is new in it.
    pub(super) fn look(&mut self, census: Vec<WorkerRows>) -> Changes {
        let mut slabs = BTreeMap::new();
        let mut connections = BTreeMap::new();
        self.spares = 0;
        for worker in census {
            self.spares += worker.rest.spares();
            slabs.extend(worker.rest.slabs.into_iter().map(|slab| (slab.id, slab)));
            connections.extend(worker.connections.into_iter().map(|each| (each.id, each)));
        }

        let (slabs_set, slabs_gone) = difference(&self.slabs, &slabs, is_same_slab);
        let (set, connections_gone) = difference(&self.connections, &connections, is_same_connection);
        let moved = self.moved_in_turn(&mut connections);
        self.slabs = slabs;
        self.connections = connections;
        Changes {
            is_whole: false,
            slabs: slabs_set,
            slabs_gone,
            connections: set,
            moved,
            connections_gone,
        }
    }

    /// All of it.
    pub(super) fn whole(&self) -> Changes {
        Changes {
            is_whole: true,
            slabs: self.slabs.keys().copied().collect(),
            slabs_gone: Vec::new(),
            connections: self.connections.keys().copied().collect(),
            moved: Vec::new(),
            connections_gone: Vec::new(),
        }
    }

    /// Whose traffic goes into the frame. The others keep the traffic that viewers know, so that it goes into a later one.
    fn moved_in_turn(&mut self, now: &mut BTreeMap<u64, ConnectionRow>) -> Vec<u64> {
        let has_moved = |(id, new): &(&u64, &ConnectionRow)| {
            let old = self.connections.get(id);
            old.is_some_and(|old| is_same_connection(old, new) && traffic(old) != traffic(new))
        };
        let after = now.range((Excluded(self.turn), Unbounded));
        let before = now.range(..=self.turn);
        let mut moved: Vec<u64> = after.chain(before).filter(has_moved).map(|(id, _)| *id).collect();
        if moved.len() > MOVED_PER_FRAME {
            for id in moved.split_off(MOVED_PER_FRAME) {
                if let (Some(old), Some(new)) = (self.connections.get(&id), now.get_mut(&id)) {
                    keep_traffic(old, new);
                }
            }
            self.turn = moved[MOVED_PER_FRAME - 1];
        }
        moved
    }
}

/// The keys of what is new or no longer the same, and of what is gone.
fn difference<K: Ord + Copy, V>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    is_same: impl Fn(&V, &V) -> bool,
) -> (Vec<K>, Vec<K>) {
    let is_known = |id: &K, value: &V| old.get(id).is_some_and(|old| is_same(old, value));
    let set = new.iter().filter(|(id, value)| !is_known(id, value));
    let gone = old.keys().filter(|id| !new.contains_key(id));
    (set.map(|(id, _)| *id).collect(), gone.copied().collect())
}

/// Whether nothing has changed but the age, which viewers count themselves.
fn is_same_slab(old: &SlabReport, new: &SlabReport) -> bool {
    let facts = |slab: &SlabReport| (slab.state, slab.carved_bytes, slab.slices, slab.heads, slab.head_bytes);
    facts(old) == facts(new)
}

/// Whether nothing has changed but ages and traffic.
fn is_same_connection(old: &ConnectionRow, new: &ConnectionRow) -> bool {
    old.phase == new.phase && old.path == new.path && old.heads().eq(new.heads()) && old.last_slice == new.last_slice
}

/// The new traffic goes into a later frame.
fn keep_traffic(old: &ConnectionRow, new: &mut ConnectionRow) {
    new.relayed = old.relayed;
}

fn traffic(connection: &ConnectionRow) -> [u64; 2] {
    connection.relayed.map(|traffic| traffic.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::census::{Phase, Sizes, TrafficRow, WorkerRest};

    fn connection(id: u64, bytes: u64) -> ConnectionRow {
        ConnectionRow {
            id,
            worker: 0,
            peer: "192.0.2.1:1".parse().unwrap(),
            phase: Phase::Tunnel,
            is_closing: false,
            age_seconds: bytes as f64,
            idle_seconds: 0,
            tls: None,
            path: "/".into(),
            own_bytes: 0,
            tls_bytes: 0,
            relayed: [bytes, 0].map(|bytes| TrafficRow { bytes, frames: 0 }),
            pending: [0; 2],
            head: None,
            upstream_head: None,
            last_slice: None,
        }
    }

    fn census(connections: impl IntoIterator<Item = ConnectionRow>) -> Vec<WorkerRows> {
        vec![WorkerRows {
            index: 0,
            connections: connections.into_iter().collect(),
            rest: WorkerRest {
                slabs: Vec::new(),
                pools: Vec::new(),
                upstream_slices: Vec::new(),
                sizes: Sizes::default(),
            },
            pages: 1,
        }]
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let mut picture = Picture::default();
        let sent = picture.look(census([connection(1, 0), connection(2, 0)]));
        assert_eq!((sent.connections, sent.moved), (vec![1, 2], vec![]));
        let sent = picture.look(census([connection(1, 0), connection(2, 5)]));
        assert_eq!((sent.connections, sent.moved), (vec![], vec![2]));
        let upgraded = ConnectionRow {
            phase: Phase::Http,
            ..connection(2, 6)
        };
        let sent = picture.look(census([upgraded, connection(3, 0)]));
        assert_eq!((sent.connections, sent.moved), (vec![2, 3], vec![]));
        assert_eq!(sent.connections_gone, [1]);
        assert_eq!(picture.whole().connections, [2, 3]);
    }

    /// However many talk, each has its turn, and none is forgotten.
    #[test]
    fn traffic_of_very_many_is_told_in_turn() {
        let many = 2 * MOVED_PER_FRAME as u64 + 1;
        let mut picture = Picture::default();
        picture.look(census((0..many).map(|id| connection(id, 0))));
        let mut sent = Vec::new();
        for frame in 1..=3 {
            let changes = picture.look(census((0..many).map(|id| connection(id, frame))));
            assert_eq!(changes.moved.len(), MOVED_PER_FRAME);
            sent.extend(changes.moved);
        }
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len() as u64, many);
        // The traffic has ended; what has not been sent yet still is.
        let rest = picture.look(census((0..many).map(|id| connection(id, 3)))).moved.len();
        assert_eq!(rest, MOVED_PER_FRAME);
    }
}
