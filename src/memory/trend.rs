//! Whether memory grows: gcstats' usage trend, at this proxy's natural points.
//!
//! node-memwatch (`src/memwatch.cc`, formerly gcstats.cc) compared, after each full garbage collection, a mean over
//! about 10 samples with one over about 120. Here a sample is taken when a slab's worth of bytes was carved, and at
//! least every minute. Unlike the original this is done in floating point and defined from the first sample on: there,
//! an integer division made the first nine samples replace the mean, and an unsigned subtraction wrapped when memory
//! fell.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::allocator::AllocatorNumbers;
use super::process::resident_bytes;

/// Samples that the recent mean is made of, about.
const RECENT: f64 = 10.0;
/// Samples that the long-term mean is made of, about.
const LONG_TERM: f64 = 120.0;

/// Watches memory in use.
#[derive(Debug, Default)]
pub struct Trend(Mutex<Means>);

#[derive(Debug, Default, Clone, Copy)]
struct Means {
    samples: f64,
    recent: f64,
    long_term: f64,
}

/// What the trend is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrendReport {
    /// `(recent - long_term) / long_term`; 0 before the first sample.
    pub ratio: f64,
    /// Mean of about the last 10 samples, in bytes.
    pub recent_bytes: f64,
    /// Mean of about the last 120 samples, in bytes.
    pub long_term_bytes: f64,
    /// Samples taken.
    pub samples: f64,
}

impl Trend {
    /// Samples the memory in use: what is allocated, or the resident set where the allocator does not tell.
    pub fn sample(&self) {
        let allocated = AllocatorNumbers::read().map(|numbers| numbers.allocated);
        if let Some(bytes) = allocated.or_else(resident_bytes) {
            self.add(bytes as f64);
        }
    }

    /// Adds a sample: `mean += (x - mean) / min(n, period)` for both periods.
    pub fn add(&self, bytes: f64) {
        let mut means = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        means.samples += 1.0;
        means.recent += (bytes - means.recent) / means.samples.min(RECENT);
        means.long_term += (bytes - means.long_term) / means.samples.min(LONG_TERM);
    }

    /// The trend now.
    #[must_use]
    pub fn report(&self) -> TrendReport {
        let Means {
            samples,
            recent,
            long_term,
        } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ratio = if long_term > 0.0 {
            (recent - long_term) / long_term
        } else {
            0.0
        };
        TrendReport {
            ratio,
            recent_bytes: recent,
            long_term_bytes: long_term,
            samples,
        }
    }
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
}
