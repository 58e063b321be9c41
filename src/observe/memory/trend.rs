//! Whether memory grows: gcstats' usage trend, at this proxy's natural points.
//!
//! node-memwatch (`src/memwatch.cc`, formerly gcstats.cc) compared, after each full garbage collection, a mean over
//! about 10 samples with one over about 120, and called it a leak after five collections in a row that each left more
//! than the one before. Here a sample is taken when a slab's worth of bytes was carved, and at least every minute.
//!
//! Unlike the original this is done in floating point and defined from the first sample on: there, an integer division
//! made the first nine samples replace the mean, and an unsigned subtraction wrapped when memory fell.

mod growth;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;

use super::allocator::allocated_bytes;
use super::process::Resident;
use growth::{Change, Growth};

pub use growth::LeakReport;

/// Samples that the recent mean is made of, about.
const RECENT: f64 = 10.0;
/// Samples that the long-term mean is made of, about.
const LONG_TERM: f64 = 120.0;
/// Turnovers that come faster than this share a sample: asking the allocator takes some 10 µs of the worker's time.
/// A slab of 10 MiB turns over a hundred times a second at 1 GB/s.
const SHORTEST: Duration = Duration::from_millis(10);

/// Watches memory in use.
#[derive(Debug, Default)]
pub struct Trend(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    sampled: Option<Instant>,
    samples: u64,
    recent: f64,
    long_term: f64,
    min: Option<Extreme>,
    max: Option<Extreme>,
    growth: Growth,
}

/// The least or the most that was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Extreme {
    /// How much, in bytes.
    pub bytes: f64,
    /// When it was first so.
    pub unix_seconds: f64,
}

/// What the trend is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrendReport {
    /// `(recent - long_term) / long_term`; 0 before the first sample.
    pub ratio: f64,
    /// What is in use when least is: the lowest sample of the last complete window, in bytes.
    pub base_bytes: f64,
    /// Mean of about the last 10 samples, in bytes.
    pub recent_bytes: f64,
    /// Mean of about the last 120 samples, in bytes.
    pub long_term_bytes: f64,
    /// Samples taken.
    pub samples: u64,
    /// The lowest sample.
    pub min: Option<Extreme>,
    /// The highest sample.
    pub max: Option<Extreme>,
    /// Whether it leaks.
    pub leak: LeakReport,
}

impl Trend {
    /// A slab's worth of bytes was carved: samples, unless that was done a moment ago.
    pub fn turnover(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        if state.sampled.is_some_and(|sampled| now - sampled < SHORTEST) {
            return;
        }
        state.sampled = Some(now);
        drop(state);
        self.sample();
    }

    /// Samples the memory in use: what is allocated, or the resident set where the allocator does not tell. A leak that
    /// is found, and its end, are logged.
    pub fn sample(&self) {
        let bytes = allocated_bytes().or_else(|| Resident::read().map(|resident| resident.total));
        let Some(bytes) = bytes else { return };
        let change = self.lock().add(bytes as f64, unix_seconds());
        let report = self.report();
        match change {
            None => {}
            Some(Change::Suspected) => tracing::warn!(
                base_bytes = report.base_bytes,
                growths = report.leak.growths,
                ratio = report.ratio,
                "memory grows and does not come back: look at parts in /api/memory; if it is slabs, /api/slabs tells \
                 who pins them, and head_policy = \"copy\" lets them go",
            ),
            Some(Change::Over) => tracing::info!(
                base_bytes = report.base_bytes,
                ratio = report.ratio,
                "memory no longer grows"
            ),
        }
    }

    /// Adds a sample: `mean += (x - mean) / min(n, period)` for both periods.
    pub fn add(&self, bytes: f64) {
        self.lock().add(bytes, unix_seconds());
    }

    /// The trend now.
    #[must_use]
    pub fn report(&self) -> TrendReport {
        self.lock().report()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, bytes: f64, unix_seconds: f64) -> Option<Change> {
        self.samples += 1;
        let n = self.samples as f64;
        self.recent += (bytes - self.recent) / n.min(RECENT);
        self.long_term += (bytes - self.long_term) / n.min(LONG_TERM);
        let sample = Extreme { bytes, unix_seconds };
        if self.min.is_none_or(|min| bytes < min.bytes) {
            self.min = Some(sample);
        }
        if self.max.is_none_or(|max| bytes > max.bytes) {
            self.max = Some(sample);
        }
        self.growth.add(bytes, unix_seconds)
    }

    fn report(&self) -> TrendReport {
        let Self { recent, long_term, .. } = *self;
        let ratio = if long_term > 0.0 {
            (recent - long_term) / long_term
        } else {
            0.0
        };
        TrendReport {
            ratio,
            base_bytes: self.growth.base(),
            recent_bytes: recent,
            long_term_bytes: long_term,
            samples: self.samples,
            min: self.min,
            max: self.max,
            leak: self.growth.report(),
        }
    }
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_memory_has_no_trend_from_the_first_sample_on() {
        let trend = Trend::default();
        assert_eq!(trend.report().ratio, 0.0);
        for _ in 0..200 {
            trend.add(1e8);
            assert_eq!(trend.report().ratio, 0.0);
        }
    }

    #[test]
    fn growth_is_positive_and_shrinking_is_negative() {
        let trend = Trend::default();
        (0..200).for_each(|i| trend.add(1e8 + f64::from(i) * 1e6));
        assert!(trend.report().ratio > 0.2, "{:?}", trend.report());
        (0..200).rev().for_each(|i| trend.add(1e8 + f64::from(i) * 1e6));
        assert!(trend.report().ratio < -0.1, "{:?}", trend.report());
    }

    #[test]
    fn the_extremes_keep_when_they_were_first_met() {
        let mut state = State::default();
        for (second, bytes) in [5.0, 3.0, 9.0, 3.0, 9.0].into_iter().enumerate() {
            state.add(bytes, second as f64);
        }
        let report = state.report();
        let extreme = |bytes, unix_seconds| Some(Extreme { bytes, unix_seconds });
        assert_eq!((report.min, report.max), (extreme(3.0, 1.0), extreme(9.0, 2.0)));
        assert_eq!(report.base_bytes, 3.0, "of the window that is not complete yet");
    }

    #[test]
    fn turnovers_in_a_row_share_a_sample() {
        let trend = Trend::default();
        let begin = Instant::now();
        (0..1000).for_each(|_| trend.turnover());
        let most = 1 + begin.elapsed().as_millis() as u64 / SHORTEST.as_millis() as u64;
        let samples = trend.report().samples;
        assert!((1..=most).contains(&samples), "{samples} samples, at most {most}");
    }
}
