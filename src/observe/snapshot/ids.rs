//! Ids that objects keep from one snapshot to the next.

use headpin_slab::{SlabId, SlicePlace};

use super::overhead::Part;
use crate::observe::labels::SlabClass;

/// The root's id.
pub(super) const ROOT: u32 = 1;
/// First id to be given.
const FIRST: u32 = 3;
/// Past this the counter begins again, and only comparisons with older snapshots are lost.
const LAST: u32 = 1 << 31;
/// Objects of one connection; each has its place, so that one entry is enough for all of them.
pub(super) const PARTS: u32 = 8;

/// Who an id belongs to, connections and their parts left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Process,
    Overhead,
    Part(Part, usize),
    Worker(usize),
    Registry(usize),
    Upstreams(usize),
    Pool(usize, SlabClass),
    Slab(SlabId),
    Spare(usize, SlabClass, usize),
    Slice(SlicePlace),
}

/// Which object has which id.
///
/// An id is odd, given when an object is first seen by a snapshot, and never given again: an object that is new in a later
/// snapshot has a higher id than all of an earlier one, which is how DevTools finds it. Entries of objects that a snapshot
/// no longer sees are dropped.
#[derive(Debug, Clone)]
pub struct Ids {
    next: u32,
    /// Sorted. Serial and whether it is a tunnel, to the first of [`PARTS`] ids.
    connections: Vec<((u64, bool), u32)>,
    /// Sorted.
    others: Vec<(Key, u32)>,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            next: FIRST,
            connections: Vec::new(),
            others: Vec::new(),
        }
    }
}

fn find<K: Ord + Copy>(sorted: &[(K, u32)], key: K) -> Option<u32> {
    let place = sorted.binary_search_by_key(&key, |entry| entry.0).ok()?;
    Some(sorted[place].1)
}

impl Ids {
    /// The id of a slab, if a snapshot has had it.
    #[must_use]
    pub fn slab(&self, id: SlabId) -> Option<u32> {
        find(&self.others, Key::Slab(id))
    }

    /// The id of a connection, if a snapshot has had it.
    #[must_use]
    pub fn connection(&self, serial: u64, is_tunnel: bool) -> Option<u32> {
        find(&self.connections, (serial, is_tunnel))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len() + self.others.len()
    }

    /// Whether no snapshot was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The ids of one snapshot in the making.
#[derive(Debug)]
pub(super) struct Giving<'a> {
    before: &'a Ids,
    now: Ids,
}

impl<'a> Giving<'a> {
    pub(super) fn new(before: &'a Ids) -> Self {
        let mut now = Ids::default();
        if before.next < LAST {
            now.next = before.next;
            Self { before, now }
        } else {
            static NONE: Ids = Ids {
                next: FIRST,
                connections: Vec::new(),
                others: Vec::new(),
            };
            Self { before: &NONE, now }
        }
    }

    /// The id of `key`, which is asked for once.
    pub(super) fn of(&mut self, key: Key) -> u32 {
        let id = find(&self.before.others, key).unwrap_or_else(|| self.take(1));
        self.now.others.push((key, id));
        id
    }

    /// The first id of a connection, which is asked for once; its parts have the next odd ones.
    pub(super) fn of_connection(&mut self, serial: u64, is_tunnel: bool) -> u32 {
        let key = (serial, is_tunnel);
        let id = find(&self.before.connections, key).unwrap_or_else(|| self.take(PARTS));
        self.now.connections.push((key, id));
        id
    }

    fn take(&mut self, objects: u32) -> u32 {
        let id = self.now.next;
        // A snapshot of 2^30 objects does not fit in memory.
        self.now.next = id.saturating_add(2 * objects);
        id
    }

    /// What the next snapshot begins with.
    pub(super) fn finish(self) -> Ids {
        let mut now = self.now;
        now.connections.sort_unstable();
        now.others.sort_unstable();
        now.connections.shrink_to_fit();
        now.others.shrink_to_fit();
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(before: &Ids, serials: &[u64]) -> (Vec<u32>, Ids) {
        let mut giving = Giving::new(before);
        let given = serials
            .iter()
            .map(|serial| giving.of_connection(*serial, true))
            .collect();
        (given, giving.finish())
    }

    #[test]
    fn an_object_keeps_its_id_and_a_new_one_has_a_higher() {
        let (first, ids) = give(&Ids::default(), &[1, 2, 3]);
        assert!(first.iter().all(|id| id % 2 == 1 && *id > ROOT));
        let (second, ids) = give(&ids, &[2, 4, 3]);
        assert_eq!((second[0], second[2]), (first[1], first[2]));
        assert!(second[1] > first[2] + 2 * (PARTS - 1), "above every part of the others");
        assert_eq!(ids.connection(1, true), None, "dropped");
        let (third, _) = give(&ids, &[1]);
        assert!(
            third[0] > second[1],
            "not its old id: that belonged to another snapshot's object"
        );
    }

    #[test]
    fn past_the_last_id_the_counter_begins_again() {
        let (_, mut ids) = give(&Ids::default(), &[1, 2]);
        ids.next = LAST;
        let (again, ids) = give(&ids, &[2]);
        assert_eq!(again, [FIRST]);
        assert_eq!(ids.len(), 1);
    }
}
