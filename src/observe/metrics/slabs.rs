//! The series of slabs and heads.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use headpin_slab::Meter;

use super::{CounterWriter, Metrics};
use crate::observe::labels::SlabClass;

/// Shows what happens to the slabs of one worker as series.
#[derive(Debug)]
pub struct SlabMeter {
    metrics: Arc<Metrics>,
    counters: CounterWriter,
}

impl SlabMeter {
    /// For the worker that writes `counters`.
    #[must_use]
    pub fn shared(metrics: Arc<Metrics>, counters: CounterWriter) -> Rc<dyn Meter> {
        Rc::new(Self { metrics, counters })
    }
}

impl Meter for SlabMeter {
    fn carved(&self, class: SlabClass) -> Arc<AtomicU64> {
        self.counters.slab_carved(class)
    }

    fn turned_over(&self, class: SlabClass) {
        self.counters.turned_over(class);
    }

    fn allocated(&self, class: SlabClass, capacity: usize) {
        self.metrics.slabs_created_total[class].inc();
        self.metrics.slabs_live[class].inc();
        self.metrics.slab_live_bytes[class].add(capacity as i64);
    }

    fn freed(&self, class: SlabClass, capacity: usize) {
        self.metrics.slabs_freed_total[class].inc();
        self.metrics.slabs_live[class].dec();
        self.metrics.slab_live_bytes[class].sub(capacity as i64);
    }

    fn pinned_changed(&self, class: SlabClass, slabs: i64, bytes: i64) {
        self.metrics.slabs_pinned[class].add(slabs);
        self.metrics.slab_pinned_bytes[class].add(bytes);
    }

    fn heads_changed(&self, class: SlabClass, heads: i64, bytes: i64) {
        self.metrics.heads_held[class].add(heads);
        self.metrics.head_held_bytes[class].add(bytes);
    }

    fn used_changed(&self, class: SlabClass, bytes: i64) {
        self.metrics.slab_used_bytes[class].add(bytes);
    }
}
