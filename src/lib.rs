//! headpin: a TLS WebSocket reverse proxy that reads into shared slabs, can show what its memory is made of, and has
//! one setting, `head_policy`, that reproduces or cures the leak of Node.js 0.8: a small slice keeps a big buffer alive.
//!
//! One connection's path, and where it is in the sources:
//!
//! ```text
//!  accept ─► TLS ─────────► HTTP/1.1 ──────► layers ──► route ─┬─► forward ──► pooled client ─┐
//!  listen/   headpin-tls    hyper, over      http/layer  route/ │   http/       upstream/      ├─► upstream server
//!            SlabStream     http/ HeadIo                        └─► upgrade ──► dial, 101 ─────┘
//!               │                                                     http/      upstream/
//!               └─ plaintext carved from the worker's slab             ▼
//!                  headpin-slab                                     tunnel: two relays, no buffer while idle
//!                                                                   tunnel/
//! ```
//!
//! A worker is one thread with its own runtime, listener and slab pools; a connection never leaves it. `docs/architecture.md`
//! has the words, the layers and the reasons.

pub mod admin;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod control;
pub mod handed;
pub mod handover;
pub mod http;
pub mod listen;
pub mod observe;
pub mod route;
pub mod sockets;
pub mod tunnel;
pub mod upstream;
pub mod worker;
