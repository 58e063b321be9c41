//! Spreads starts evenly in time.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Gives out moments to start at, shared by all threads.
#[derive(Debug)]
pub(super) struct Pace {
    /// Per second; `None` for at once.
    rate: Option<f64>,
    starts: Mutex<Starts>,
}

#[derive(Debug, Default)]
struct Starts {
    first: Option<Instant>,
    count: u64,
}

impl Pace {
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self {
            rate,
            starts: Mutex::default(),
        }
    }

    /// Waits for the next start. Who is late starts at once, so that a short delay is made up for.
    pub(super) async fn next(&self) {
        let Some(rate) = self.rate else { return };
        let due = {
            let mut starts = self.starts.lock().expect("nothing panics while it counts");
            let number = starts.count;
            starts.count += 1;
            *starts.first.get_or_insert_with(Instant::now) + Duration::from_secs_f64(number as f64 / rate)
        };
        sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn starts_are_spread_and_lateness_is_made_up_for() {
        let pace = Pace::new(Some(10.0));
        let begin = Instant::now();
        for _ in 0..11 {
            pace.next().await;
        }
        assert!(
            (0.99..1.02).contains(&begin.elapsed().as_secs_f64()),
            "{:?}",
            begin.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
        for _ in 0..9 {
            pace.next().await;
        }
        assert!(
            (1.89..1.93).contains(&begin.elapsed().as_secs_f64()),
            "{:?}",
            begin.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let (pace, begin) = (Pace::new(None), Instant::now());
        for _ in 0..1_000 {
            pace.next().await;
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
