//! How many instructions a path is: callgrind collects while [`counted`] runs, and in nothing else.

use std::hint::black_box;

use super::paths::{self, Meter};

/// Runs that are counted, after as many that are not. bench/instructions divides by this.
const RUNS: usize = 64;

/// Runs the path of this name for callgrind; prints how many runs are counted.
pub(crate) fn count(name: &str) {
    paths::all(&mut Count(name));
    println!("{RUNS}");
}

struct Count<'a>(&'a str);

impl Meter for Count<'_> {
    fn path<Input, Output, Prepare, Run>(&mut self, name: &str, make: impl FnOnce() -> (Prepare, Run))
    where
        Prepare: FnMut() -> Input,
        Run: FnMut(&mut Input) -> Output,
    {
        if name != self.0 {
            return;
        }
        let (mut prepare, mut run) = make();
        let mut inputs: Vec<Input> = (0..2 * RUNS).map(|_| prepare()).collect();
        let (warm_up, inputs) = inputs.split_at_mut(RUNS);
        for input in warm_up {
            black_box(run(input));
        }
        counted(&mut run, inputs);
    }
}

/// Known to bench/instructions by its name.
#[inline(never)]
fn counted<Input, Output>(run: &mut impl FnMut(&mut Input) -> Output, inputs: &mut [Input]) {
    for input in inputs {
        black_box(run(black_box(input)));
    }
}
