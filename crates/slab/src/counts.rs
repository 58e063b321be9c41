//! A meter for tests, which keeps sums.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use headpin_labels::Label as _;

use crate::{Meter, SlabClass};

/// What happened to the slabs of one class.
#[derive(Debug, Default)]
pub struct ClassCounts {
    /// Bytes carved.
    pub carved_bytes: Arc<AtomicU64>,
    /// Slabs' worths of bytes carved.
    pub turnovers: Cell<u64>,
    /// Slabs allocated.
    pub allocated: Cell<usize>,
    /// Slabs freed.
    pub freed: Cell<usize>,
    /// Capacity of the slabs whose memory exists.
    pub live_bytes: Cell<usize>,
    /// Slabs that a held head keeps.
    pub pinned: Cell<i64>,
    /// Their capacity.
    pub pinned_bytes: Cell<i64>,
    /// Heads that are held.
    pub heads: Cell<i64>,
    /// Their bytes.
    pub head_bytes: Cell<i64>,
    /// Bytes of slices that are kept.
    pub used_bytes: Cell<i64>,
}

impl ClassCounts {
    /// Slabs whose memory exists.
    #[must_use]
    pub fn live(&self) -> usize {
        self.allocated.get() - self.freed.get()
    }
}

/// Keeps what happened to each class.
#[derive(Debug, Default)]
pub struct Counts([ClassCounts; SlabClass::ALL.len()]);

impl Counts {
    /// What happened to the slabs of `class`.
    #[must_use]
    pub fn of(&self, class: SlabClass) -> &ClassCounts {
        &self.0[class.index()]
    }
}

impl Meter for Counts {
    fn carved(&self, class: SlabClass) -> Arc<AtomicU64> {
        Arc::clone(&self.of(class).carved_bytes)
    }

    fn turned_over(&self, class: SlabClass) {
        self.of(class).turnovers.update(|sum| sum + 1);
    }

    fn allocated(&self, class: SlabClass, capacity: usize) {
        self.of(class).allocated.update(|sum| sum + 1);
        self.of(class).live_bytes.update(|sum| sum + capacity);
    }

    fn freed(&self, class: SlabClass, capacity: usize) {
        self.of(class).freed.update(|sum| sum + 1);
        self.of(class).live_bytes.update(|sum| sum - capacity);
    }

    fn pinned_changed(&self, class: SlabClass, slabs: i64, bytes: i64) {
        self.of(class).pinned.update(|sum| sum + slabs);
        self.of(class).pinned_bytes.update(|sum| sum + bytes);
    }

    fn heads_changed(&self, class: SlabClass, heads: i64, bytes: i64) {
        self.of(class).heads.update(|sum| sum + heads);
        self.of(class).head_bytes.update(|sum| sum + bytes);
    }

    fn used_changed(&self, class: SlabClass, bytes: i64) {
        self.of(class).used_bytes.update(|sum| sum + bytes);
    }
}
