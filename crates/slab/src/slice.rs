//! A slab's bookkeeping, and the slices that keep it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use tokio::time::Instant;

use super::memory::SlabMemory;
use super::shared::PoolShared;
use crate::SlabClass;

/// Names a slab for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlabId {
    /// What it serves.
    pub class: SlabClass,
    /// The worker that carves from it.
    pub worker: usize,
    /// Counts the slabs of this worker and class from 0; never used again.
    pub serial: u64,
}

impl fmt::Display for SlabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.class, self.worker, self.serial)
    }
}

impl serde::Serialize for SlabId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a slice lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlicePlace {
    /// The slab that it keeps.
    pub slab: SlabId,
    /// Bytes from the slab's front.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
}

/// One slab as the pool, its slices and the heads in it know it.
///
/// Its strong count says how many slices are out: the pool's own reference, while it carves here, plus one for each.
pub(super) struct Slab {
    pub(super) id: SlabId,
    pub(super) created: Instant,
    /// Address of its first byte, for telling where in it a slice lies.
    base: usize,
    /// `0 <= carved <= capacity`, in bytes from the front.
    pub(super) carved: Cell<usize>,
    /// Heads held in this slab, and the sum of their lengths in bytes.
    pub(super) heads: Cell<usize>,
    pub(super) head_bytes: Cell<usize>,
    /// `Some` once retired: the handle that gives the memory back, or to the spares, when the last slice is gone.
    memory: RefCell<Option<SlabMemory>>,
    shared: Rc<PoolShared>,
}

impl Slab {
    pub(super) fn new(serial: u64, base: usize, shared: Rc<PoolShared>) -> Self {
        Self {
            id: SlabId {
                class: shared.class,
                worker: shared.worker,
                serial,
            },
            created: Instant::now(),
            base,
            carved: Cell::new(0),
            heads: Cell::new(0),
            head_bytes: Cell::new(0),
            memory: RefCell::new(None),
            shared,
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.memory.borrow().is_some()
    }

    /// Nothing more will be carved here; `memory` goes with the last slice.
    pub(super) fn retire(&self, memory: SlabMemory) {
        self.count_pin(|slab| {
            slab.memory.replace(Some(memory));
        });
    }

    pub(super) fn hold(&self, len: usize) {
        self.count_pin(|slab| {
            slab.heads.set(slab.heads.get() + 1);
            slab.head_bytes.set(slab.head_bytes.get() + len);
        });
        self.shared.heads_changed(1, len);
    }

    pub(super) fn release(&self, len: usize) {
        self.count_pin(|slab| {
            slab.heads.set(slab.heads.get() - 1);
            slab.head_bytes.set(slab.head_bytes.get() - len);
        });
        self.shared.heads_changed(-1, len);
    }

    /// A slice of `by` bytes is kept past its poll, or is no longer.
    pub(super) fn used_changed(&self, by: i64) {
        self.shared.used_changed(by);
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.heads.get() > 0 && self.is_retired()
    }

    fn count_pin(&self, change: impl FnOnce(&Self)) {
        let before = self.is_pinned();
        change(self);
        match (before, self.is_pinned()) {
            (false, true) => self.shared.pinned_changed(1),
            (true, false) => self.shared.pinned_changed(-1),
            _ => {}
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.get_mut().take() {
            self.shared.give_back(memory);
        }
    }
}

/// A carved, counted piece of a slab. It keeps the whole slab alive.
///
/// Never empty: what keeps a slab for an *empty* head is the slice that the head was cut from, see [`super::HeldHead`].
pub struct SlabSlice {
    /// Declared before `slab`, so that it is dropped first: when the slab's count falls, no slice is left in its memory.
    bytes: Bytes,
    slab: Rc<Slab>,
}

impl SlabSlice {
    pub(super) fn new(bytes: Bytes, slab: Rc<Slab>) -> Self {
        debug_assert!(!bytes.is_empty());
        Self { bytes, slab }
    }

    #[inline]
    pub(super) fn slab(&self) -> &Slab {
        &self.slab
    }

    /// The slab that this is a piece of.
    #[must_use]
    pub fn slab_id(&self) -> SlabId {
        self.slab.id
    }

    /// Where in the slab it begins, in bytes from the front.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.bytes.as_ptr().addr() - self.slab.base
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> SlicePlace {
        SlicePlace {
            slab: self.slab_id(),
            offset: self.offset(),
            len: self.len(),
        }
    }
}

impl Deref for SlabSlice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SlabSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlabSlice({} bytes of {})", self.len(), self.slab.id)
    }
}

/// A slice that is kept past the poll that read it: what of a slab is really used. Counted while it lives.
#[derive(Debug)]
pub(super) struct KeptSlice(SlabSlice);

impl From<SlabSlice> for KeptSlice {
    fn from(slice: SlabSlice) -> Self {
        slice.slab.used_changed(slice.len() as i64);
        Self(slice)
    }
}

impl Deref for KeptSlice {
    type Target = SlabSlice;

    fn deref(&self) -> &SlabSlice {
        &self.0
    }
}

impl Drop for KeptSlice {
    fn drop(&mut self) {
        self.0.slab.used_changed(-(self.0.len() as i64));
    }
}
