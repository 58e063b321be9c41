//! What the process's memory is made of, and whether it grows.

mod allocator;
mod kernel;
mod process;
#[cfg(target_os = "linux")]
mod sockets;
mod trend;

use prometheus::IntGauge;

use crate::labels::{Label, MemoryPart, SlabClass};
use crate::metrics::Metrics;

pub use allocator::AllocatorNumbers;
pub use kernel::{SocketMemory, TcpMemory};
pub use process::resident_bytes;
pub use trend::{Trend, TrendReport};

/// Brings the memory series up to date; to be called before a scrape is encoded.
pub fn refresh(metrics: &Metrics, trend: &Trend) {
    let set = |gauge: &IntGauge, bytes: u64| gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    let of = &metrics.memory_bytes;
    if let Some(numbers) = AllocatorNumbers::read() {
        set(&of[MemoryPart::Allocated], numbers.allocated);
        set(&of[MemoryPart::Active], numbers.active);
        set(&of[MemoryPart::AllocatorResident], numbers.resident);
        set(&of[MemoryPart::Retained], numbers.retained);
        set(&of[MemoryPart::Metadata], numbers.metadata);
    }
    if let Some(resident) = resident_bytes() {
        set(&of[MemoryPart::Resident], resident);
    }
    if let Some(tcp) = TcpMemory::read() {
        set(&metrics.kernel_tcp_memory_bytes, tcp.tcp_memory_bytes);
        set(&metrics.kernel_tcp_sockets, tcp.tcp_sockets);
    }
    let slabs: i64 = SlabClass::VARIANTS
        .iter()
        .map(|class| metrics.slab_live_bytes[*class].get())
        .sum();
    metrics.memory_bytes[MemoryPart::Slabs].set(slabs);
    metrics.memory_usage_trend_ratio.set(trend.report().ratio);
}
