//! What is measured, apart from how.

use std::rc::Rc;

use headpin::config::SlabsConfig;
use headpin::observe::labels::HeadPolicy;
use headpin::observe::metrics::{Metrics, SlabMeter};
use headpin_slab::{SlabSettings, WorkerSlabs};
use prometheus::Registry;

use super::{heads, messages, slabs, tls};

/// Measures paths in some way.
pub(crate) trait Meter {
    /// One path. `make` sets it up, if it is wanted, and returns two steps: one makes the input of a run, which is not
    /// measured, the other is the run. Inputs are used in the order in which they were made.
    fn path<Input, Output, Prepare, Run>(&mut self, name: &str, make: impl FnOnce() -> (Prepare, Run))
    where
        Prepare: FnMut() -> Input,
        Run: FnMut(&mut Input) -> Output;
}

/// Has `meter` measure every path.
pub(crate) fn all(meter: &mut impl Meter) {
    slabs::paths(meter);
    tls::paths(meter);
    messages::paths(meter);
    heads::paths(meter);
}

/// Prints their names.
pub(crate) struct Names;

impl Meter for Names {
    fn path<Input, Output, Prepare, Run>(&mut self, name: &str, _: impl FnOnce() -> (Prepare, Run))
    where
        Prepare: FnMut() -> Input,
        Run: FnMut(&mut Input) -> Output,
    {
        println!("{name}");
    }
}

/// The slabs of a worker, as large as by default.
pub(crate) fn worker_slabs(policy: HeadPolicy) -> Rc<WorkerSlabs> {
    let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
    let SlabsConfig {
        tls_capacity,
        tcp_capacity,
        spares,
    } = SlabsConfig::default();
    let settings = SlabSettings {
        worker: 0,
        tls_capacity: tls_capacity.bytes(),
        tcp_capacity: tcp_capacity.bytes(),
        spares,
    };
    let meter = SlabMeter::shared(metrics.clone(), metrics.worker());
    WorkerSlabs::new(&settings, policy, &meter)
}
