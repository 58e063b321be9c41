//! What a pool and its slabs share: the memory of freed slabs, and the gauges that each slab counts in.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::memory::SlabMemory;
use crate::labels::SlabClass;
use crate::metrics::Metrics;

/// What outlives the pool while slices are out.
pub(super) struct PoolShared {
    pub(super) class: SlabClass,
    pub(super) worker: usize,
    pub(super) capacity: usize,
    metrics: Arc<Metrics>,
    /// Memory of freed slabs, kept for the next; `spares.len() <= spare_limit`.
    spares: RefCell<Vec<SlabMemory>>,
    spare_limit: Cell<usize>,
}

impl PoolShared {
    pub(super) fn new(class: SlabClass, worker: usize, capacity: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            class,
            worker,
            capacity,
            metrics,
            spares: RefCell::default(),
            spare_limit: Cell::new(0),
        }
    }

    /// Takes the memory of a slab that no slice is left of.
    pub(super) fn give_back(&self, memory: SlabMemory) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < self.spare_limit.get() {
            spares.push(memory);
        } else {
            drop(memory);
            self.freed(1);
        }
    }

    /// Memory for the next slab.
    pub(super) fn take_or_allocate(&self) -> SlabMemory {
        if let Some(mut spare) = self.spares.borrow_mut().pop() {
            let reclaimed = spare.restart(self.capacity);
            debug_assert!(reclaimed, "no slice of a spare is out");
            return spare;
        }
        self.metrics.slabs_created_total[self.class].inc();
        self.metrics.slabs_live[self.class].inc();
        self.metrics.slab_live_bytes[self.class].add(self.bytes());
        SlabMemory::new(self.capacity)
    }

    /// Counts slabs whose memory went back to the allocator.
    pub(super) fn freed(&self, slabs: usize) {
        for _ in 0..slabs {
            self.metrics.slabs_freed_total[self.class].inc();
            self.metrics.slabs_live[self.class].dec();
            self.metrics.slab_live_bytes[self.class].sub(self.bytes());
        }
    }

    pub(super) fn pinned_changed(&self, by: i64) {
        self.metrics.slabs_pinned[self.class].add(by);
        self.metrics.slab_pinned_bytes[self.class].add(by * self.bytes());
    }

    pub(super) fn heads_changed(&self, by: i64, len: usize) {
        self.metrics.heads_held[self.class].add(by);
        self.metrics.head_held_bytes[self.class].add(by * i64::try_from(len).expect("a head is smaller than a slab"));
    }

    pub(super) fn used_changed(&self, by: i64) {
        self.metrics.slab_used_bytes[self.class].add(by);
    }

    fn bytes(&self) -> i64 {
        i64::try_from(self.capacity).expect("capacities are below 1 GiB")
    }

    /// How many slabs' memory is kept.
    pub(super) fn spares(&self) -> usize {
        self.spares.borrow().len()
    }

    /// Keeps at most `limit` from now on.
    pub(super) fn trim(&self, limit: usize) {
        self.spare_limit.set(limit);
        self.free_surplus(limit);
    }

    /// Frees what is kept; as many as before may be kept again.
    pub(super) fn free_spares(&self) {
        self.free_surplus(0);
    }

    fn free_surplus(&self, limit: usize) {
        let mut spares = self.spares.borrow_mut();
        let surplus = spares.len().saturating_sub(limit);
        spares.truncate(limit);
        spares.shrink_to_fit();
        drop(spares);
        self.freed(surplus);
    }
}
