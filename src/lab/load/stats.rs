//! What is counted while the load runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fault::{Fault, FaultKind};

/// Longer times are recorded as this long.
const LONGEST: Duration = Duration::from_mins(2);
/// Digits of a time that are kept.
const DIGITS: u8 = 3;

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

/// One thread's counts.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) opened: u64,
    pub(super) resumed: u64,
    /// When the first and the last connection was open.
    opened_at: Option<(Instant, Instant)>,
    /// From the first packet to the end of the upgrade, in nanoseconds.
    pub(super) opening: Histogram<u64>,
    pub(super) units: u64,
    /// From sending a unit's first byte to having its last, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// Heads that came in one read with the 101.
    pub(super) early_greetings: u64,
    pub(super) faults: BTreeMap<FaultKind, Seen>,
}

/// Faults of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// How many.
    pub count: u64,
    /// The first one in full.
    pub example: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, DIGITS)
                .expect("a nanosecond to two minutes with three digits are good bounds")
        };
        Self {
            opened: 0,
            resumed: 0,
            opened_at: None,
            opening: histogram(),
            units: 0,
            latency: histogram(),
            bytes_sent: 0,
            bytes_received: 0,
            early_greetings: 0,
            faults: BTreeMap::new(),
        }
    }
}

impl Tally {
    pub(super) fn count_opening(&mut self, took: Duration, resumed: bool) {
        let now = Instant::now();
        self.opened += 1;
        self.opened_at = Some((self.opened_at.map_or(now, |(first, _)| first), now));
        self.resumed += u64::from(resumed);
        self.opening.saturating_record(nanos(took));
    }

    /// One unit of work, that sent and received so many payload bytes.
    pub(super) fn count_unit(&mut self, took: Duration, sent: u64, received: u64) {
        self.units += 1;
        self.latency.saturating_record(nanos(took));
        self.bytes_sent += sent;
        self.bytes_received += received;
    }

    pub(super) fn count_fault(&mut self, fault: Fault) {
        let kind = fault.kind();
        let seen = self.faults.entry(kind).or_insert_with(|| {
            let remedy = fault.remedy();
            Seen {
                count: 0,
                example: format!("{:#}", anyhow::Error::new(fault)),
                remedy,
            }
        });
        seen.count += 1;
    }

    /// Connections a second, from the first that was open to the last; `None` of less than two.
    pub(super) fn opening_rate(&self) -> Option<f64> {
        let (first, last) = self.opened_at?;
        let seconds = last.duration_since(first).as_secs_f64();
        (self.opened > 1 && seconds > 0.0).then(|| (self.opened - 1) as f64 / seconds)
    }

    fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.opened_at = match (self.opened_at, other.opened_at) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (mine, theirs) => mine.or(theirs),
        };
        self.resumed += other.resumed;
        self.units += other.units;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.early_greetings += other.early_greetings;
        self.opening.add(&other.opening).expect("both have the same bounds");
        self.latency.add(&other.latency).expect("both have the same bounds");
        for (kind, seen) in &other.faults {
            self.faults
                .entry(*kind)
                .and_modify(|mine| mine.count += seen.count)
                .or_insert_with(|| seen.clone());
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How times are spread, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is the percentile of its name")]
pub struct Spread {
    pub count: u64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: histogram.max() as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of(&Tally::default().latency), None);
    }
}
