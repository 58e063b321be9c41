//! What can be seen of the proxy from outside: series, logs, memory, heap snapshots.

pub mod census;
pub mod labels;
pub mod memory;
pub mod metrics;
pub mod snapshot;

/// The target of the access log, as `log.access` switches it.
pub const ACCESS_LOG: &str = "headpin::access";
