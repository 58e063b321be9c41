//! What each worker counts for itself, and the sum that is exported.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::Labelled;
use crate::observe::labels::{Direction, Label, SlabClass};

/// Counts what happens with every message, for one worker.
///
/// It and its clones are the only writers of their counters and stay on one thread, so counting needs no locked
/// instruction and loses nothing.
#[derive(Debug, Clone)]
pub struct CounterWriter {
    counters: Arc<WorkerCounters>,
    one_thread: PhantomData<Rc<()>>,
}

impl CounterWriter {
    /// Bytes that a tunnel has relayed.
    pub fn relayed(&self, direction: Direction, bytes: u64) {
        self.counters.tunnel_bytes[direction].add(bytes);
    }

    /// WebSocket frames that a tunnel has relayed, control frames included, and the messages that ended with them.
    pub fn framed(&self, direction: Direction, frames: u64, messages: u64) {
        self.counters.tunnel_frames[direction].add(frames);
        self.counters.tunnel_messages[direction].add(messages);
    }

    /// The counter of bytes carved from slabs, for the one pool of `class` that writes it.
    #[must_use]
    pub fn slab_carved(&self, class: SlabClass) -> Arc<AtomicU64> {
        Arc::clone(&self.counters.slab_carved_bytes[class])
    }

    /// One slab's worth of bytes has been carved.
    pub fn turned_over(&self, class: SlabClass) {
        self.counters.slab_turnovers[class].add(1);
    }
}

/// The counters of one worker, which any thread may read.
#[derive(Debug)]
struct WorkerCounters {
    tunnel_bytes: Labelled<Direction, Tally>,
    tunnel_frames: Labelled<Direction, Tally>,
    /// Final data frames.
    tunnel_messages: Labelled<Direction, Tally>,
    /// Written by the pools.
    slab_carved_bytes: Labelled<SlabClass, Arc<AtomicU64>>,
    slab_turnovers: Labelled<SlabClass, Tally>,
}

impl WorkerCounters {
    fn new() -> Self {
        Self {
            tunnel_bytes: tallies(),
            tunnel_frames: tallies(),
            tunnel_messages: tallies(),
            slab_carved_bytes: Labelled::new(|_| Arc::default()),
            slab_turnovers: tallies(),
        }
    }
}

fn tallies<L: Label>() -> Labelled<L, Tally> {
    Labelled::new(|_| Tally::default())
}

/// A counter with one writer, its worker's [`CounterWriter`].
#[derive(Debug, Default)]
struct Tally(AtomicU64);

impl Tally {
    fn add(&self, by: u64) {
        self.0.store(self.get() + by, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sums the workers' counters when it is scraped.
#[derive(Debug, Clone, Default)]
pub(super) struct WorkerSum(Arc<Mutex<Vec<Arc<WorkerCounters>>>>);

impl WorkerSum {
    /// A worker's counters, included from now on.
    pub(super) fn add(&self) -> CounterWriter {
        let counters = Arc::new(WorkerCounters::new());
        self.lock().push(Arc::clone(&counters));
        CounterWriter {
            counters,
            one_thread: PhantomData,
        }
    }

    /// Bytes that the tunnels of all workers have relayed.
    pub(super) fn tunnel_bytes(&self, direction: Direction) -> u64 {
        self.lock()
            .iter()
            .map(|worker| worker.tunnel_bytes[direction].get())
            .sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<WorkerCounters>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family<L: Label>(
        &self,
        (name, help, label): (&str, &str, &str),
        count: impl Fn(&WorkerCounters, L) -> u64,
    ) -> Vec<MetricFamily> {
        let sums = IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is valid");
        let workers = self.lock();
        for value in L::VARIANTS {
            let sum = workers.iter().map(|worker| count(worker, *value)).sum();
            sums.with_label_values(&[value.text()]).inc_by(sum);
        }
        sums.collect()
    }
}

const TUNNEL_BYTES: (&str, &str, &str) = ("headpin_tunnel_bytes_total", "Bytes relayed by tunnels.", "direction");
const TUNNEL_FRAMES: (&str, &str, &str) = (
    "headpin_tunnel_frames_total",
    "WebSocket frames relayed, control frames included.",
    "direction",
);
const TUNNEL_MESSAGES: (&str, &str, &str) = (
    "headpin_tunnel_messages_total",
    "WebSocket messages relayed: final data frames.",
    "direction",
);
const CARVED: (&str, &str, &str) = (
    "headpin_slab_carved_bytes_total",
    "Bytes carved from slabs: what was read into them.",
    "class",
);
const TURNOVERS: (&str, &str, &str) = (
    "headpin_slab_turnovers_total",
    "Times that one slab's worth of bytes had been carved.",
    "class",
);

impl Collector for WorkerSum {
    fn desc(&self) -> Vec<&Desc> {
        // An unchecked collector: its names are all in this file, and a test scrapes them.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.family(TUNNEL_BYTES, |worker, label: Direction| {
            worker.tunnel_bytes[label].get()
        });
        families.extend(self.family(TUNNEL_FRAMES, |worker, label: Direction| {
            worker.tunnel_frames[label].get()
        }));
        families.extend(self.family(TUNNEL_MESSAGES, |worker, label: Direction| {
            worker.tunnel_messages[label].get()
        }));
        families.extend(self.family(CARVED, |worker, class: SlabClass| {
            worker.slab_carved_bytes[class].load(Ordering::Relaxed)
        }));
        families.extend(self.family(TURNOVERS, |worker, label: SlabClass| worker.slab_turnovers[label].get()));
        families
    }
}
