//! Slabs: large buffers that the reads of many connections are carved from, one after another.
//!
//! ```text
//!  SlabPool (one a worker and class)
//!  ┌──────────────────────────────────────────────────────────────┐
//!  │ current ─► Slab tls-0-7  10 MiB                              │
//!  │            ┌──────┬───┬────────┬──────────────────────────┐  │
//!  │            │ s1   │s2 │ s3     │ not carved yet           │  │   s1..s3: SlabSlice, counted references
//!  │            └──────┴───┴────────┴──────────────────────────┘  │   to one allocation
//!  └────────────────────▲─────────────────────────────────────────┘
//!                       │ s2, the slice with the upgrade request
//!    retired ─► Slab tls-0-6  10 MiB, full, kept alive by one of:
//!            ┌────────────────────────────────────┬──┬─────────┐
//!            │                                    │s9│         │◄─ HeldHead: 6 bytes of s9, or none at all
//!            └────────────────────────────────────┴──┴─────────┘
//! ```
//!
//! A slab is a `BytesMut` of the slab's capacity. Carving is `extend` and `split().freeze()`, rewinding is
//! `try_reclaim`; `bytes` does the sharing, and nothing here is unsafe. When a slab is full it **rewinds** if no slice is
//! out, else it **retires**: its memory is freed with its last slice. A 6-byte head that a tunnel holds for a day
//! therefore keeps 10,485,760 bytes for a day, an amplification of 1.7 million.
//!
//! Everything here belongs to one worker: counted references without atomics, cells without locks.

mod census;
#[cfg(any(test, feature = "test-util"))]
mod counts;
mod forward;
mod head;
mod labels;
mod memory;
mod meter;
mod pool;
mod read;
mod readable;
mod shared;
mod slice;
mod slot;
mod unsent;
mod worker;

pub use census::{SlabReport, SlabState};
#[cfg(any(test, feature = "test-util"))]
pub use counts::{ClassCounts, Counts};
pub use head::{Head, HeldHead};
pub use labels::{HeadPolicy, SlabClass};
pub use meter::Meter;
pub use pool::{Carving, PoolSettings, SlabPool};
pub use read::{SlabReader, SliceRead};
pub use readable::Readable;
pub use slice::{SlabId, SlabSlice, SlicePlace};
pub use slot::HeadSlot;
pub use unsent::{Unsent, Waiting};
pub use worker::{SlabSettings, WorkerSlabs};

#[cfg(test)]
mod model;
