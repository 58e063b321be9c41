//! What the connections of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use headpin_slab::{SlabSettings, WorkerSlabs};
use headpin_tls::TlsBuffers;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{Departures, Registry, Shared};
use crate::observe::labels::{HeadPolicy, RelayPolicy};
use crate::observe::metrics::{CounterWriter, SlabMeter};
use crate::upstream::Pools;

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepting {
    /// They are accepted.
    Yes,
    /// They wait in the backlog.
    NotNow,
    /// Those that wait in the backlog are accepted, and then the listeners closed: the drain has begun.
    Last,
    /// The listeners are another process's.
    Never,
}

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
    /// How its connections and tunnels are told to go.
    pub departures: Departures,
    /// What it accepts from, until the drain.
    pub listeners: RefCell<Vec<Weak<TcpListener>>>,
    /// What becomes of new connections.
    pub accepting: watch::Sender<Accepting>,
    /// Size of the task that speaks HTTP, once there was one; it has no name to ask `size_of` for.
    pub http_task_bytes: Cell<usize>,
    /// Of the settings that its tunnels were last brought to.
    pub generation: Cell<u64>,
    /// Seconds since the start, more or less. It wraps: what was handed over may have moved before the start.
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
            departures: Departures::default(),
            listeners: RefCell::default(),
            accepting: watch::Sender::new(Accepting::Yes),
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
        self.tick.set(self.tick.get().wrapping_add(1));
        self.tick.get()
    }

    /// The time `seconds` ago; it may be before the start.
    #[must_use]
    pub fn tick_before(&self, seconds: u32) -> u32 {
        self.tick.get().wrapping_sub(seconds)
    }

    /// Seconds since `tick`, more or less.
    #[must_use]
    pub fn since(&self, tick: u32) -> u32 {
        self.tick.get().wrapping_sub(tick)
    }
}
