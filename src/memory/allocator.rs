//! The allocator's own numbers.

/// What jemalloc says, in bytes. See its manual, `stats.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct AllocatorNumbers {
    /// Asked for and not given back.
    pub allocated: u64,
    /// In pages with at least one allocation.
    pub active: u64,
    /// Bookkeeping.
    pub metadata: u64,
    /// Mapped and backed by memory, as far as the allocator knows.
    pub resident: u64,
    /// Address space kept without memory behind it.
    pub retained: u64,
}

impl AllocatorNumbers {
    /// The numbers now; `None` without the feature `jemalloc`.
    #[must_use]
    pub fn read() -> Option<Self> {
        #[cfg(feature = "jemalloc")]
        {
            use tikv_jemalloc_ctl::{epoch, stats};

            // jemalloc gathers its statistics when the epoch is advanced.
            epoch::advance().ok()?;
            Some(Self {
                allocated: stats::allocated::read().ok()? as u64,
                active: stats::active::read().ok()? as u64,
                metadata: stats::metadata::read().ok()? as u64,
                resident: stats::resident::read().ok()? as u64,
                retained: stats::retained::read().ok()? as u64,
            })
        }
        #[cfg(not(feature = "jemalloc"))]
        None
    }
}
