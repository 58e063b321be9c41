//! What the connections of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headpin_slab::{SlabSettings, WorkerSlabs};
use headpin_tls::TlsBuffers;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::registry::{Order, Phase, Registry};
use super::settings::{Settings, Shared};
use crate::labels::{CloseReason, HeadPolicy, RelayPolicy};
use crate::memory;
use crate::metrics::{CounterWriter, SlabMeter};
use crate::upstream::{PooledClient, pooled_client};

/// How often idle tunnels are looked for. A deadline is exact to this, and no read has a timer of its own.
pub const TICK: Duration = Duration::from_secs(1);

/// How long a peer may take to answer a Close that this proxy sent, in ticks.
const CLOSE_TICKS: u32 = 5;

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
    /// Most bytes that are in flight in one direction of a tunnel.
    pub(crate) relay_buffer: usize,
    /// What a relay does when its writer is blocked.
    pub(crate) relay_policy: RelayPolicy,
    /// This worker's share of the per-message counters.
    pub counters: CounterWriter,
    /// Its connections.
    pub registry: Rc<Registry>,
    /// Every task of its connections.
    pub tracker: TaskTracker,
    /// Cancelled when the drain begins.
    pub draining: CancellationToken,
    /// Ticks since the start.
    pub(crate) tick: Cell<u32>,
    /// Size of the task that speaks HTTP, once there was one; it has no name to ask `size_of` for.
    pub http_task_bytes: Cell<usize>,
    client: RefCell<Option<(u64, PooledClient)>>,
}

impl WorkerContext {
    /// The state of worker `index` of `workers`.
    #[must_use]
    pub fn new(index: usize, workers: usize, policy: HeadPolicy, shared: Arc<Shared>) -> Rc<Self> {
        let settings = shared.settings.load();
        let counters = shared.metrics.worker();
        let slabs = &settings.config.slabs;
        let slabs = SlabSettings {
            worker: index,
            tls_capacity: slabs.tls_capacity.bytes(),
            tcp_capacity: slabs.tcp_capacity.bytes(),
            spares: slabs.spares,
        };
        let meter = SlabMeter::shared(Arc::clone(&shared.metrics), counters.clone());
        let slabs = WorkerSlabs::new(&slabs, policy, &meter);
        let relay_buffer = settings.config.tunnel.relay_buffer.bytes();
        let relay_policy = settings.config.relay_policy;
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
            tick: Cell::new(0),
            http_task_bytes: Cell::new(0),
            client: RefCell::new(None),
            shared,
        })
    }

    /// The pooled client for plain requests to the upstream of `settings`.
    pub(crate) fn client(&self, settings: &Settings) -> PooledClient {
        let mut client = self.client.borrow_mut();
        match &*client {
            Some((generation, client)) if *generation == settings.generation => client.clone(),
            _ => {
                let dialer = Arc::clone(&settings.dialer);
                let made = pooled_client(&settings.config.upstream, dialer);
                *client = Some((settings.generation, made.clone()));
                made
            }
        }
    }

    /// What becomes of heads from now on; returns how many were let go.
    pub fn set_policy(&self, policy: HeadPolicy) -> usize {
        self.slabs.set_policy(policy);
        match policy {
            HeadPolicy::Copy => self.registry.release_heads(),
            HeadPolicy::Pin => 0,
        }
    }

    /// Looks after tunnels where nothing moves, and slabs that nothing is in; to be called every [`TICK`].
    pub fn sweep(&self) {
        let now = self.tick.get() + 1;
        self.tick.set(now);
        self.slabs.sweep();
        if self.registry.burst_is_over() {
            // What the thread's cache holds is of its size.
            memory::flush_thread_cache();
        }
        let idle_timeout = self.shared.settings.load().config.tunnel.idle_timeout;
        let limit = idle_timeout.map(|limit| u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1));
        self.registry.for_each(|record| {
            if record.phase.get() != Phase::Tunnel {
                return;
            }
            let idle = now - record.active.get();
            match record.order() {
                None if limit.is_some_and(|limit| idle >= limit) => {
                    record.active.set(now);
                    record.give(Order::Close(CloseReason::Idle));
                }
                Some(Order::Close(reason)) if idle >= CLOSE_TICKS => record.give(Order::End(reason)),
                _ => {}
            }
        });
    }

    /// Begins the drain: HTTP connections end after the current request, tunnels are closed with 1001.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tracker.close();
        self.registry.for_each(|record| {
            record.active.set(self.tick.get());
            record.give(Order::Close(CloseReason::Drain));
        });
    }

    /// Ends what is still open when the grace is over; returns how many connections that are.
    pub fn abandon(&self) -> usize {
        self.registry
            .for_each(|record| record.give(Order::End(CloseReason::Abandoned)));
        self.registry.len()
    }
}
