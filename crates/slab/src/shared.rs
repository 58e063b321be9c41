//! What a pool and its slabs share: the memory of freed slabs, and the meter that counts them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::memory::SlabMemory;
use crate::{Meter, SlabClass};

/// What outlives the pool while slices are out.
pub(super) struct PoolShared {
    pub(super) class: SlabClass,
    pub(super) worker: usize,
    pub(super) capacity: usize,
    meter: Rc<dyn Meter>,
    /// Memory of freed slabs, kept for the next; `spares.len() <= spare_limit`.
    spares: RefCell<Vec<SlabMemory>>,
    spare_limit: Cell<usize>,
}

impl PoolShared {
    pub(super) fn new(class: SlabClass, worker: usize, capacity: usize, meter: Rc<dyn Meter>) -> Self {
        Self {
            class,
            worker,
            capacity,
            meter,
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
        self.meter.allocated(self.class, self.capacity);
        SlabMemory::new(self.capacity)
    }

    /// Counts slabs whose memory went back to the allocator.
    pub(super) fn freed(&self, slabs: usize) {
        for _ in 0..slabs {
            self.meter.freed(self.class, self.capacity);
        }
    }

    pub(super) fn pinned_changed(&self, by: i64) {
        self.meter.pinned_changed(self.class, by, by * signed(self.capacity));
    }

    pub(super) fn heads_changed(&self, by: i64, len: usize) {
        self.meter.heads_changed(self.class, by, by * signed(len));
    }

    pub(super) fn used_changed(&self, by: i64) {
        self.meter.used_changed(self.class, by);
    }

    pub(super) fn turned_over(&self) {
        self.meter.turned_over(self.class);
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

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("no allocation is larger than isize::MAX")
}
