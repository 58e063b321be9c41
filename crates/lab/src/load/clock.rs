//! Time, and what the generator did with it.

use tokio::time::Instant;

use super::lanes::Lanes;
use super::process::ThreadTimes;

/// Time, and what the lanes' threads did with it.
#[derive(Debug)]
pub(super) struct Clock {
    begin: Instant,
    times: Vec<ThreadTimes>,
}

/// One part of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lap {
    pub(super) seconds: f64,
    /// The part of it that the busiest thread was on a core.
    pub(super) busy_ratio: f64,
    /// The part of it that some thread was ready to run and had no core.
    pub(super) starved_ratio: f64,
    /// Of all threads.
    pub(super) cpu_seconds: f64,
}

impl Clock {
    pub(super) fn start(lanes: &Lanes) -> Self {
        Self {
            begin: Instant::now(),
            times: lanes.times(),
        }
    }

    pub(super) fn restart(&mut self, lanes: &Lanes) {
        *self = Self::start(lanes);
    }

    pub(super) fn lap(&self, lanes: &Lanes) -> Lap {
        let seconds = self.begin.elapsed().as_secs_f64();
        let now = lanes.times();
        let spent = || now.iter().zip(&self.times);
        let most = |spent: &mut dyn Iterator<Item = f64>| spent.fold(0.0, f64::max) / seconds.max(f64::MIN_POSITIVE);
        Lap {
            seconds,
            busy_ratio: most(&mut spent().map(|(now, then)| now.ran - then.ran)),
            starved_ratio: most(&mut spent().map(|(now, then)| now.waited - then.waited)),
            cpu_seconds: spent().map(|(now, then)| now.ran - then.ran).sum(),
        }
    }
}
