//! headpin: a TLS WebSocket reverse proxy that reads into shared slabs, can show what its memory is made of, and has
//! one setting, `head_policy`, that reproduces or cures the leak of Node.js 0.8: a small slice keeps a big buffer alive.
//!
//! One connection's path, and where it is in the sources:
//!
//! ```text
//!  accept ─► TLS ─────────► HTTP/1.1 ──────► layers ──► route ─┬─► forward ──► pooled client ─┐
//!  server/   tls/           hyper, over      layer/,           │   proxy/      upstream/      ├─► upstream server
//!            SlabStream     proxy/ HeadIo    tower-http        └─► upgrade ──► dial, 101 ─────┘
//!               │                                                    │         upstream/
//!               └─ plaintext carved from the worker's slab           ▼
//!                  slab/                                           tunnel: two relays, no buffer while idle
//!                                                                  proxy/tunnel, relay, frames
//! ```
//!
//! A worker is one thread with its own runtime, listener and slab pools; a connection never leaves it. `docs/architecture.md`
//! has the words, the layers and the reasons.

pub mod admin;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod labels;
pub mod layer;
pub mod memory;
pub mod metrics;
pub mod proxy;
pub mod server;
pub mod snapshot;
pub mod sockets;
pub mod upstream;
