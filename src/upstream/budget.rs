//! How many requests may be repeated.

use std::sync::atomic::{AtomicI64, Ordering};

/// What a repetition costs, in hundredths of a request.
const PRICE: i64 = 100;
/// The repetitions that are free at first, and that can be saved up.
const SAVED: i64 = 10;

/// A share of the requests that may be repetitions, so that they do not double the load of servers that fail under it.
///
/// By hand, as tower's `TpsBudget` takes a lock and the time for each request.
#[derive(Debug)]
pub(super) struct RetryBudget {
    hundredths: AtomicI64,
    percent: i64,
}

impl RetryBudget {
    /// For `percent` of the requests.
    pub(super) fn new(percent: usize) -> Self {
        let percent = i64::try_from(percent).unwrap_or(PRICE);
        Self {
            hundredths: AtomicI64::new(if percent == 0 { 0 } else { SAVED * PRICE }),
            percent,
        }
    }

    /// A request has come.
    pub(super) fn deposit(&self) {
        // Two workers may both see room for the last one: a repetition more does no harm.
        if self.percent > 0 && self.hundredths.load(Ordering::Relaxed) < SAVED * PRICE {
            self.hundredths.fetch_add(self.percent, Ordering::Relaxed);
        }
    }

    /// Whether a request may be repeated now.
    pub(super) fn withdraw(&self) -> bool {
        let spend = |left: i64| (left >= PRICE).then_some(left - PRICE);
        self.hundredths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated_after_the_first_ten() {
        let budget = RetryBudget::new(20);
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 10);
        (0..100).for_each(|_| budget.deposit());
        assert_eq!(
            (0..100).filter(|_| budget.withdraw()).count(),
            10,
            "no more are saved up"
        );
        (0..5).for_each(|_| budget.deposit());
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 1);
        let none = RetryBudget::new(0);
        none.deposit();
        assert!(!none.withdraw());
    }
}
