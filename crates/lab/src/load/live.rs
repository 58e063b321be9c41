//! A run while it goes on: its counts, and the steps that its workers have taken.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use super::stats::Tally;

/// The counts of a run, readable while it goes on.
#[derive(Debug)]
pub struct Live {
    /// One for each thread, so that threads do not wait for each other.
    tallies: Box<[Mutex<Tally>]>,
    phase: AtomicU8,
    /// Workers whose connection is open, or failed to open.
    arrived: AtomicU64,
    /// Workers that are done with their work.
    rested: AtomicU64,
    changed: Notify,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Connections are being opened.
    Opening,
    /// The measured part.
    Working,
    /// Connections are being closed.
    Closing,
}

/// A run at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Glance {
    /// Where it is.
    pub phase: Phase,
    /// Connections opened so far.
    pub opened: u64,
    /// Faults so far.
    pub faults: u64,
    /// Units of work done so far.
    pub units: u64,
    /// Payload bytes sent and received so far.
    pub bytes: u64,
}

impl Live {
    /// For a run with so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            tallies: (0..threads).map(|_| Mutex::new(Tally::default())).collect(),
            phase: AtomicU8::new(Phase::Opening as u8),
            arrived: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// The counts as they are now.
    #[must_use]
    pub fn glance(&self) -> Glance {
        let phase = match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::Working,
            _ => Phase::Closing,
        };
        let mut glance = Glance {
            phase,
            opened: 0,
            faults: 0,
            units: 0,
            bytes: 0,
        };
        for tally in &self.tallies {
            let tally = lock(tally);
            glance.opened += tally.opened;
            glance.faults += tally.faults.values().map(|seen| seen.count).sum::<u64>();
            glance.units += tally.units;
            glance.bytes += tally.bytes_sent + tally.bytes_received;
        }
        glance
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// The tally of the thread that connection `index` belongs to.
    pub(super) fn tally(&self, index: u64) -> MutexGuard<'_, Tally> {
        lock(&self.tallies[(index % self.tallies.len() as u64) as usize])
    }

    /// All threads' counts together.
    pub(super) fn total(&self) -> Tally {
        self.tallies.iter().fold(Tally::default(), |mut total, tally| {
            total.add(&lock(tally));
            total
        })
    }

    pub(super) fn count_arrival(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    pub(super) fn count_rest(&self) {
        self.rested.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Waits until `workers` have arrived. One waiter at a time.
    pub(super) async fn all_arrived(&self, workers: u64) {
        self.reached(&self.arrived, workers).await;
    }

    /// Waits until `workers` are done. One waiter at a time.
    pub(super) async fn all_rested(&self, workers: u64) {
        self.reached(&self.rested, workers).await;
    }

    async fn reached(&self, counter: &AtomicU64, workers: u64) {
        while counter.load(Ordering::Acquire) < workers {
            self.changed.notified().await;
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().expect("nothing panics while it counts")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fault::{Fault, FaultKind};
    use super::super::stats::Spread;
    use super::*;

    #[test]
    fn threads_counts_add_up() {
        let live = Live::new(2);
        live.tally(0).count_opening(Duration::from_millis(2), false);
        live.tally(1).count_opening(Duration::from_millis(4), true);
        for index in 0..4 {
            live.tally(index)
                .count_unit(Duration::from_micros(10 * (index + 1)), 5, 7);
        }
        live.tally(1).count_fault(Fault::Ended);
        live.tally(0).count_fault(Fault::Ended);
        let total = live.total();
        assert_eq!((total.opened, total.resumed, total.units), (2, 1, 4));
        assert_eq!((total.bytes_sent, total.bytes_received), (20, 28));
        assert_eq!(total.faults[&FaultKind::Ended].count, 2);
        let spread = Spread::of(&total.latency).unwrap();
        assert_eq!(spread.count, 4);
        assert!(
            (19.9..20.1).contains(&spread.p50_us) && (39.9..40.1).contains(&spread.max_us),
            "{spread:?}"
        );
        let glance = live.glance();
        assert_eq!(
            (glance.opened, glance.units, glance.faults, glance.bytes),
            (2, 4, 2, 48)
        );
    }
}
