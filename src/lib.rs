//! headpin
pub mod config;
pub mod labels;
pub mod metrics;
pub mod slab;
pub mod tls;
