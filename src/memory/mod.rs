//! What the process's memory is made of, and whether it grows.

mod allocator;
mod process;
mod profile;
mod trend;

use crate::labels::{Label, MemoryPart, SlabClass};
use crate::metrics::Metrics;

pub use allocator::AllocatorNumbers;
pub use process::{program_bytes, resident_bytes};
pub use profile::{ProfileError, heap_profile};
pub use trend::{Trend, TrendReport};

/// Brings the memory series up to date; to be called before a scrape is encoded.
pub fn refresh(metrics: &Metrics, trend: &Trend) {
    let set = |part: MemoryPart, bytes: u64| {
        metrics.memory_bytes[part].set(i64::try_from(bytes).unwrap_or(i64::MAX));
    };
    if let Some(numbers) = AllocatorNumbers::read() {
        set(MemoryPart::Allocated, numbers.allocated);
        set(MemoryPart::Active, numbers.active);
        set(MemoryPart::AllocatorResident, numbers.resident);
        set(MemoryPart::Retained, numbers.retained);
        set(MemoryPart::Metadata, numbers.metadata);
    }
    if let Some(resident) = resident_bytes() {
        set(MemoryPart::Resident, resident);
    }
    let slabs: i64 = SlabClass::VARIANTS
        .iter()
        .map(|class| metrics.slab_live_bytes[*class].get())
        .sum();
    metrics.memory_bytes[MemoryPart::Slabs].set(slabs);
    metrics.memory_usage_trend_ratio.set(trend.report().ratio);
}
