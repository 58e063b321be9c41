//! The laboratory: what loads a proxy, and what stands behind it.

pub mod load;
pub mod pattern;
pub mod units;
pub mod upstream;
