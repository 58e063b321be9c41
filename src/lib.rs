//! headpin
pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod lab;
pub mod labels;
pub mod layer;
pub mod memory;
pub mod metrics;
pub mod proxy;
pub mod server;
pub mod slab;
pub mod sockets;
pub mod tls;
pub mod upstream;
