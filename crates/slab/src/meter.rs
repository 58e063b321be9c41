//! Counting what happens to slabs, for whoever shows it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::SlabClass;

/// Counts what happens to the slabs of one worker, on that worker's thread.
///
/// Its methods are called when a slab, a head or a remembered slice comes or goes. `()` shows nothing.
pub trait Meter: fmt::Debug {
    /// The counter of the bytes that are carved. A pool is the only writer of its own, so that counting a read takes no call
    /// and no locked instruction.
    fn carved(&self, class: SlabClass) -> Arc<AtomicU64>;

    /// One slab's worth of bytes has been carved.
    fn turned_over(&self, class: SlabClass);

    /// The memory of a slab of `capacity` bytes was allocated.
    fn allocated(&self, class: SlabClass, capacity: usize);

    /// The memory of a slab of `capacity` bytes went back to the allocator.
    fn freed(&self, class: SlabClass, capacity: usize);

    /// This many more slabs, of `bytes` in all, are retired and kept by a held head; negative if fewer.
    fn pinned_changed(&self, class: SlabClass, slabs: i64, bytes: i64);

    /// This many more heads, of `bytes` in all, are held; negative if fewer.
    fn heads_changed(&self, class: SlabClass, heads: i64, bytes: i64);

    /// This many more bytes of slices are kept past the poll that read them; negative if fewer.
    fn used_changed(&self, class: SlabClass, bytes: i64);
}

impl Meter for () {
    fn carved(&self, _: SlabClass) -> Arc<AtomicU64> {
        Arc::default()
    }

    fn turned_over(&self, _: SlabClass) {}
    fn allocated(&self, _: SlabClass, _: usize) {}
    fn freed(&self, _: SlabClass, _: usize) {}
    fn pinned_changed(&self, _: SlabClass, _: i64, _: i64) {}
    fn heads_changed(&self, _: SlabClass, _: i64, _: i64) {}
    fn used_changed(&self, _: SlabClass, _: i64) {}
}
