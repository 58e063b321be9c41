//! How long each path takes, by criterion.

use criterion::{BatchSize, Criterion};

use super::paths::{self, Meter};

/// Runs made ready at once: few, so that what they read stays in the processor's cache.
const BATCH: BatchSize = BatchSize::NumIterations(64);

pub(crate) fn time() {
    let mut criterion = Criterion::default().configure_from_args();
    paths::all(&mut criterion);
    criterion.final_summary();
}

impl Meter for Criterion {
    fn path<Input, Output, Prepare, Run>(&mut self, name: &str, make: impl FnOnce() -> (Prepare, Run))
    where
        Prepare: FnMut() -> Input,
        Run: FnMut(&mut Input) -> Output,
    {
        let mut make = Some(make);
        self.bench_function(name, |bencher| {
            // Criterion comes here once, or not at all if the path is not asked for.
            let Some(make) = make.take() else { return };
            let (prepare, run) = make();
            bencher.iter_batched_ref(prepare, run, BATCH);
        });
    }
}
