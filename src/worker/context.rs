//! What the connections of one worker share.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use headpin_slab::{SlabSettings, WorkerSlabs};
use headpin_tls::TlsBuffers;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Registry, Shared};
use crate::observe::labels::{HeadPolicy, RelayPolicy};
use crate::observe::metrics::{CounterWriter, SlabMeter};
use crate::upstream::Pools;

/// The state of one worker: used by its connections, on its thread only.
#[derive(Debug)]
pub struct WorkerContext {
    /// Which worker this is, from 0.
    pub index: usize,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// The pools that reads are carved from.
    pub slabs: Rc<WorkerSlabs>,
    /// Memory for ciphertext in passing.
    pub tls_buffers: Rc<TlsBuffers>,
    /// The maximum that is in flight in one direction of a tunnel, in bytes.
    pub relay_buffer: usize,
    /// What a relay does when its writer is blocked.
    pub relay_policy: RelayPolicy,
    /// This worker's share of the per-message counters.
    pub counters: CounterWriter,
    /// Its connections and tunnels.
    pub registry: Rc<Registry>,
    /// Every task of its connections.
    pub tracker: TaskTracker,
    /// Cancelled when the drain begins.
    pub draining: CancellationToken,
    /// Size of the task that speaks HTTP, once there was one; it has no name to ask `size_of` for.
    pub http_task_bytes: Cell<usize>,
    /// Of the settings that its tunnels were last brought to.
    pub generation: Cell<u64>,
    /// Seconds since the start, more or less.
    tick: Cell<u32>,
    /// Connections to servers that wait for the next plain request.
    pub pools: Rc<Pools>,
}

impl WorkerContext {
    /// The state of worker `index` of `workers`.
    #[must_use]
    pub fn new(index: usize, workers: usize, policy: HeadPolicy, shared: Arc<Shared>) -> Rc<Self> {
        let settings = shared.settings.load();
        let config = &settings.config;
        let counters = shared.metrics.worker();
        let slabs = SlabSettings {
            worker: index,
            tls_capacity: config.slabs.tls_capacity.bytes(),
            tcp_capacity: config.slabs.tcp_capacity.bytes(),
            spares: config.slabs.spares,
        };
        let meter = SlabMeter::shared(Arc::clone(&shared.metrics), counters.clone());
        let slabs = WorkerSlabs::new(&slabs, policy, &meter);
        slabs.set_pins_some(settings.routes.pin_some());
        let relay_buffer = config.tunnel.relay_buffer.bytes();
        let relay_policy = config.relay_policy;
        drop(settings);
        Rc::new(Self {
            index,
            tls_buffers: TlsBuffers::new(Rc::clone(&slabs), relay_buffer),
            slabs,
            relay_buffer,
            relay_policy,
            counters,
            registry: Registry::new(index, workers),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            http_task_bytes: Cell::new(0),
            generation: Cell::new(0),
            tick: Cell::new(0),
            pools: Rc::default(),
            shared,
        })
    }

    /// The worker's clock: sweeps since the start. What moves is stamped with it, as reading a clock costs more.
    #[must_use]
    pub fn tick(&self) -> u32 {
        self.tick.get()
    }

    /// Moves the clock on, for the sweep; returns the new time.
    pub fn advance(&self) -> u32 {
        self.tick.set(self.tick.get() + 1);
        self.tick.get()
    }
}
