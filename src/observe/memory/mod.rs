//! What the process's memory is made of, and whether it grows.

mod allocator;
mod composition;
mod kernel;
mod limit;
mod process;
mod profile;
#[cfg(target_os = "linux")]
mod sockets;
mod trend;

use headpin_ledger::Ledgers;
use prometheus::IntGauge;

use crate::observe::metrics::Metrics;

pub use allocator::{AllocatorNumbers, flush_thread_cache, give_back_soon};
pub use composition::{Composition, SlabBytes};
pub use kernel::{SocketMemory, TcpMemory};
pub use limit::limit_bytes;
pub use process::{Resident, program_bytes};
pub use profile::{ProfileError, heap_profile};
pub use trend::{Extreme, LeakReport, Trend, TrendReport};

/// Brings the memory series up to date; to be called before a scrape is encoded.
pub fn refresh(metrics: &Metrics, trend: &Trend, ledgers: &Ledgers) {
    let set = |gauge: &IntGauge, bytes: u64| gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    if let Some(composition) = Composition::read(metrics, ledgers) {
        composition.show(metrics);
    }
    if let Some(tcp) = TcpMemory::read() {
        set(&metrics.kernel_tcp_memory_bytes, tcp.tcp_memory_bytes);
        set(&metrics.kernel_tcp_sockets, tcp.tcp_sockets);
    }
    if let Some(limit) = limit_bytes() {
        set(&metrics.memory_limit_bytes, limit);
    }
    let TrendReport {
        ratio,
        base_bytes,
        recent_bytes: _,
        long_term_bytes: _,
        samples: _,
        min,
        max,
        leak,
    } = trend.report();
    metrics.memory_usage_trend_ratio.set(ratio);
    metrics.memory_usage_base_bytes.set(base_bytes);
    if let Some(Extreme { bytes, unix_seconds }) = min {
        metrics.memory_usage_min_bytes.set(bytes);
        metrics.memory_usage_min_timestamp_seconds.set(unix_seconds);
    }
    if let Some(Extreme { bytes, unix_seconds }) = max {
        metrics.memory_usage_max_bytes.set(bytes);
        metrics.memory_usage_max_timestamp_seconds.set(unix_seconds);
    }
    metrics.memory_leak_suspected.set(i64::from(leak.suspected));
    let shown = metrics.memory_leak_verdicts_total.get();
    metrics
        .memory_leak_verdicts_total
        .inc_by(leak.verdicts.saturating_sub(shown));
}
