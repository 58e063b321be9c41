//! The leak verdict: growths in a row.

use serde::Serialize;

/// Growths in a row that make a verdict: gcstats' number.
const GROWTHS: u32 = 5;
/// Samples that a window has at least.
const WINDOW_SAMPLES: u32 = 10;
/// How long a window lasts at least, in seconds: what grows for less than half a minute is no leak.
const WINDOW_SECONDS: f64 = 5.0;
/// By how much a base must exceed the one before to be a growth, as a part of it: less is noise.
const NOISE: f64 = 0.01;

/// Follows the base: the lowest sample of each window of at least 10 samples and 5 seconds.
///
/// The lowest, as a garbage collection leaves the lowest: what comes and goes with the traffic is on top of it. A base
/// that is more than 1 % above the one before is a growth. Five in a row are a verdict. It is over when a base falls by
/// more than 1 %, or after five bases in a row that are no growth.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Growth {
    window: Option<Window>,
    base: Option<f64>,
    growths: u32,
    /// Bases in a row that were no growth, while a leak is suspected.
    pauses: u32,
    since: Option<f64>,
    verdicts: u64,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begin: f64,
    samples: u32,
    lowest: f64,
}

/// What a sample changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// From now on a leak is suspected.
    Suspected,
    /// It is no longer.
    Over,
}

/// Whether it leaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LeakReport {
    /// The verdict.
    pub suspected: bool,
    /// Growths of the base in a row until now.
    pub growths: u32,
    /// Since when it is suspected.
    pub since_unix_seconds: Option<f64>,
    /// Verdicts since the start.
    pub verdicts: u64,
}

impl Growth {
    pub(super) fn add(&mut self, bytes: f64, unix_seconds: f64) -> Option<Change> {
        let window = self.window.get_or_insert(Window {
            begin: unix_seconds,
            samples: 0,
            lowest: bytes,
        });
        window.samples += 1;
        window.lowest = window.lowest.min(bytes);
        if window.samples < WINDOW_SAMPLES || unix_seconds - window.begin < WINDOW_SECONDS {
            return None;
        }
        let lowest = window.lowest;
        self.window = None;
        let before = self.base.replace(lowest)?;
        if lowest > before * (1.0 + NOISE) {
            self.growths += 1;
            self.pauses = 0;
            return (self.growths >= GROWTHS && self.since.is_none()).then(|| {
                self.since = Some(unix_seconds);
                self.verdicts += 1;
                Change::Suspected
            });
        }
        self.growths = 0;
        self.pauses += 1;
        let over = lowest < before * (1.0 - NOISE) || self.pauses >= GROWTHS;
        (over && self.since.take().is_some()).then_some(Change::Over)
    }

    /// In bytes; that of the first window while it is not complete.
    pub(super) fn base(&self) -> f64 {
        self.base
            .or_else(|| self.window.map(|window| window.lowest))
            .unwrap_or(0.0)
    }

    pub(super) fn report(&self) -> LeakReport {
        LeakReport {
            suspected: self.since.is_some(),
            growths: self.growths,
            since_unix_seconds: self.since,
            verdicts: self.verdicts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: f64 = 1e6;

    /// Ten samples in five seconds and a bit, that swing by 20 MB above `base`; what the last one changed.
    fn window(growth: &mut Growth, clock: &mut f64, base: f64) -> Option<Change> {
        let mut change = None;
        for i in 0..10 {
            *clock += 0.6;
            let swing = f64::from(i % 3) * 10.0 * MB;
            change = growth.add(base + swing, *clock);
        }
        change
    }

    #[test]
    fn five_growths_in_a_row_are_a_verdict_and_a_fall_ends_it() {
        let (mut growth, mut clock) = (Growth::default(), 1000.0);
        for i in 0..5 {
            assert_eq!(
                window(&mut growth, &mut clock, (100.0 + 10.0 * f64::from(i)) * MB),
                None
            );
            assert_eq!(growth.report().growths, i as u32);
        }
        assert_eq!(window(&mut growth, &mut clock, 150.0 * MB), Some(Change::Suspected));
        let report = growth.report();
        assert_eq!((report.suspected, report.growths, report.verdicts), (true, 5, 1));
        assert_eq!(report.since_unix_seconds, Some(clock));
        assert_eq!(window(&mut growth, &mut clock, 160.0 * MB), None, "said once");
        assert_eq!(window(&mut growth, &mut clock, 100.0 * MB), Some(Change::Over));
        assert!(!growth.report().suspected);
        assert_eq!(growth.report().verdicts, 1);
    }

    #[test]
    fn growth_that_stops_is_over_after_five_windows() {
        let (mut growth, mut clock) = (Growth::default(), 0.0);
        for i in 0..6 {
            window(&mut growth, &mut clock, (100.0 + 10.0 * f64::from(i)) * MB);
        }
        assert!(growth.report().suspected);
        for _ in 0..4 {
            assert_eq!(window(&mut growth, &mut clock, 150.0 * MB), None);
        }
        assert_eq!(window(&mut growth, &mut clock, 150.0 * MB), Some(Change::Over));
    }

    #[test]
    fn what_swings_or_creeps_within_the_noise_is_no_leak() {
        let (mut growth, mut clock) = (Growth::default(), 0.0);
        for i in 0..100 {
            let base = 100.0 + f64::from(i % 5) * 10.0;
            assert_eq!(window(&mut growth, &mut clock, base * MB), None);
        }
        let (mut growth, mut clock) = (Growth::default(), 0.0);
        for i in 0..20 {
            assert_eq!(window(&mut growth, &mut clock, (100.0 + 0.9 * f64::from(i)) * MB), None);
        }
    }

    #[test]
    fn many_samples_in_a_moment_are_one_window() {
        let mut growth = Growth::default();
        for i in 0..10_000 {
            let seconds = f64::from(i) * 0.000_4;
            assert_eq!(growth.add(100.0 * MB + f64::from(i) * MB, seconds), None);
        }
        assert_eq!(growth.report().growths, 0, "four seconds");
    }
}
