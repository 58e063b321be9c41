//! The counts of one thread, and how times are spread.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::fault::{Fault, FaultKind};

/// Longer times are recorded as this long.
const LONGEST: Duration = Duration::from_mins(2);
/// Digits of a time that are kept.
const DIGITS: u8 = 3;

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

    pub(super) fn add(&mut self, other: &Self) {
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
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of(&Tally::default().latency), None);
    }

    #[test]
    fn the_opening_rate_is_between_the_first_and_the_last() {
        let mut tally = Tally::default();
        assert_eq!(tally.opening_rate(), None);
        let begin = Instant::now();
        tally.opened = 11;
        tally.opened_at = Some((begin, begin + Duration::from_secs(2)));
        assert_eq!(tally.opening_rate(), Some(5.0));
        let mut total = Tally::default();
        total.add(&tally);
        total.add(&Tally::default());
        assert_eq!(total.opening_rate(), Some(5.0));
    }
}
