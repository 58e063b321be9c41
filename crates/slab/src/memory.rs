//! The memory of a slab.

use bytes::BytesMut;

use headpin_ledger::{self as ledger, MemoryPart};

/// What the kernel gives memory in, as far as this accounts for it.
const PAGE: usize = 4096;

/// The memory of a slab, and how much of it was ever written: the rest is only address space.
///
/// The pages that were written are claimed as the part `slabs`. They stay resident when the slab rewinds.
pub(super) struct SlabMemory {
    pub(super) bytes: BytesMut,
    /// From the front, in whole pages; `<= capacity`, but for the last page.
    touched: usize,
}

impl SlabMemory {
    pub(super) fn new(capacity: usize) -> Self {
        // No part of what the connection takes that happens to read first.
        let (bytes, _) = ledger::measure(|| BytesMut::with_capacity(capacity));
        Self { bytes, touched: 0 }
    }

    /// Starts at the front again; false if a slice is still out.
    pub(super) fn restart(&mut self, capacity: usize) -> bool {
        self.bytes.clear();
        self.bytes.try_reclaim(capacity)
    }

    /// Bytes from the front that were ever written, in whole pages.
    pub(super) fn touched(&self) -> usize {
        self.touched
    }

    /// Everything in front of `end` was written.
    #[inline]
    pub(super) fn touch(&mut self, end: usize) {
        if end > self.touched {
            self.touch_more(end);
        }
    }

    #[cold]
    fn touch_more(&mut self, end: usize) {
        let touched = end.next_multiple_of(PAGE);
        ledger::claim(MemoryPart::Slabs, (touched - self.touched) as i64);
        self.touched = touched;
    }
}

impl Drop for SlabMemory {
    fn drop(&mut self) {
        ledger::claim(MemoryPart::Slabs, -(self.touched as i64));
        let bytes = std::mem::take(&mut self.bytes);
        ledger::measure(|| drop(bytes));
    }
}
