//! The workers: a thread each, with a runtime, a listener and slab pools of its own.

mod accept;
mod worker;

pub use worker::{WorkerSettings, WorkerThread};
