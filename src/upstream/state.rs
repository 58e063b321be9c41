//! What is known of a server: how it has been lately, and what it does now. It outlives a reload of the config.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::labels::UpstreamFailure;
use crate::observe::metrics::ServerSeries;

/// How a server failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// In words.
    pub what: String,
    /// When.
    pub at: Instant,
}

/// Shared by all workers, without a lock on a request's path.
#[derive(Debug)]
pub struct ServerState {
    /// Its name among all servers of the process; never used again.
    pub id: u64,
    /// Requests without a complete response, and tunnels.
    pub in_use: AtomicUsize,
    /// Tunnels among them.
    pub tunnels: AtomicUsize,
    /// Requests that it was sent, upgrades included.
    pub requests: AtomicU64,
    /// Those that it failed, and connections that did not come about.
    pub failures: AtomicU64,
    /// No new request without a cookie for it.
    pub is_draining: AtomicBool,
    /// Neither the config nor its name has it any more.
    pub is_gone: AtomicBool,
    born: Instant,
    /// Failures since the last success.
    failed_in_row: AtomicU32,
    /// Times that it was passed over since the last success.
    strikes: AtomicU32,
    /// Milliseconds since `born` until which it is passed over; 0 if it is not.
    down_until: AtomicU64,
    is_unhealthy: AtomicBool,
    /// Active checks in a row that went against the state.
    checks_in_row: AtomicU32,
    /// Milliseconds since `born` when it last came back; 0 if it never went.
    back_since: AtomicU64,
    /// Milliseconds since `born` when it was last passed over, became unhealthy, or came back.
    changed: AtomicU64,
    /// Microseconds from a request to the head of its response: a mean in which the newest counts an eighth.
    latency: AtomicU64,
    /// Counts the times that its idle connections had to be closed.
    epoch: AtomicU32,
    last_failure: Mutex<Option<Failure>>,
    /// Once it is shown.
    series: OnceLock<ServerSeries>,
    is_shown_up: AtomicBool,
}

impl ServerState {
    pub(super) fn new() -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            in_use: AtomicUsize::new(0),
            tunnels: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            is_draining: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            born: Instant::now(),
            failed_in_row: AtomicU32::new(0),
            strikes: AtomicU32::new(0),
            down_until: AtomicU64::new(0),
            is_unhealthy: AtomicBool::new(false),
            checks_in_row: AtomicU32::new(0),
            back_since: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            last_failure: Mutex::new(None),
            series: OnceLock::new(),
            is_shown_up: AtomicBool::new(false),
        }
    }

    /// Milliseconds since it is known; never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether it is passed over for failures.
    pub fn is_down(&self) -> bool {
        // Nobody asks the clock of a server that is well.
        let until = self.down_until.load(Ordering::Relaxed);
        until != 0 && until > self.now()
    }

    /// Whether its active checks fail.
    pub fn is_unhealthy(&self) -> bool {
        self.is_unhealthy.load(Ordering::Relaxed)
    }

    /// Whether it takes new requests in turn.
    pub fn is_up(&self) -> bool {
        !self.is_unhealthy() && !self.is_draining.load(Ordering::Relaxed) && !self.is_down()
    }

    /// The share of its weight that it has now: less than 1 for as long as `slow_start` after it came back.
    pub fn share(&self, slow_start: Option<Duration>) -> f64 {
        const LEAST: f64 = 0.05;
        let since = self.back_since.load(Ordering::Relaxed);
        let Some(slow_start) = slow_start.filter(|_| since != 0) else {
            return 1.0;
        };
        let elapsed = Duration::from_millis(self.now().saturating_sub(since));
        (elapsed.as_secs_f64() / slow_start.as_secs_f64()).clamp(LEAST, 1.0)
    }

    /// It answered.
    pub fn succeeded(&self) {
        if self.failed_in_row.load(Ordering::Relaxed) != 0 {
            self.failed_in_row.store(0, Ordering::Relaxed);
        }
        if self.down_until.load(Ordering::Relaxed) != 0 && self.down_until.swap(0, Ordering::Relaxed) != 0 {
            self.strikes.store(0, Ordering::Relaxed);
            self.came_back();
        }
    }

    /// The head of a response came after `latency`.
    pub fn answered_after(&self, latency: Duration) {
        let new = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let old = self.latency.load(Ordering::Relaxed);
        // Two workers may both have read the old mean; then one answer is not in the new one.
        let mean = if old == 0 { new.max(1) } else { (old * 7 + new) / 8 };
        self.latency.store(mean, Ordering::Relaxed);
    }

    /// It failed as `what` says. Returns how many failures that makes in a row.
    pub fn failed(&self, what: &str) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(series) = self.series.get() {
            series.failures.inc();
        }
        self.note_failure(what);
        self.failed_in_row.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn note_failure(&self, what: &str) {
        let failure = Failure {
            what: what.to_owned(),
            at: Instant::now(),
        };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    /// Passes it over, for `down_for` the first time and twice as long each time after that, up to `most`.
    pub fn pass_over(&self, down_for: Duration, most: Duration) {
        if down_for.is_zero() || self.is_down() {
            return;
        }
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed).min(30);
        let down = down_for.saturating_mul(1 << strikes).min(most);
        let now = self.now();
        let until = now.saturating_add(u64::try_from(down.as_millis()).unwrap_or(u64::MAX));
        self.down_until.store(until.max(now + 1), Ordering::Relaxed);
        self.went_away();
    }

    /// An active check came to `result`; `fall` failures in a row make it unhealthy, `rise` successes healthy. Returns whether
    /// that changed it.
    pub fn checked(&self, result: Result<(), &str>, fall: usize, rise: usize) -> bool {
        let was_unhealthy = self.is_unhealthy();
        if let Err(what) = result {
            self.note_failure(what);
        }
        if result.is_err() == was_unhealthy {
            self.checks_in_row.store(0, Ordering::Relaxed);
            return false;
        }
        let in_row = self.checks_in_row.fetch_add(1, Ordering::Relaxed) + 1;
        if (in_row as usize) < if was_unhealthy { rise } else { fall } {
            return false;
        }
        self.checks_in_row.store(0, Ordering::Relaxed);
        self.is_unhealthy.store(!was_unhealthy, Ordering::Relaxed);
        if was_unhealthy {
            self.down_until.store(0, Ordering::Relaxed);
            self.strikes.store(0, Ordering::Relaxed);
            self.came_back();
        } else {
            self.went_away();
        }
        true
    }

    /// Forgets the results of its checks, as nobody makes them any more.
    pub fn forget_checks(&self) {
        self.checks_in_row.store(0, Ordering::Relaxed);
        if self.is_unhealthy.swap(false, Ordering::Relaxed) {
            self.came_back();
        }
    }

    /// Takes it out of turn, or brings it back.
    pub fn set_draining(&self, draining: bool) {
        if self.is_draining.swap(draining, Ordering::Relaxed) != draining {
            match draining {
                true => self.went_away(),
                false => self.came_back(),
            }
        }
    }

    /// It is in no config any more: its idle connections are of no use.
    pub fn set_gone(&self, gone: bool) {
        if self.is_gone.swap(gone, Ordering::Relaxed) != gone && gone {
            self.epoch.fetch_add(1, Ordering::Relaxed);
            self.show_up();
        }
    }

    fn came_back(&self) {
        let now = self.now();
        self.back_since.store(now, Ordering::Relaxed);
        self.changed.store(now, Ordering::Relaxed);
        self.show_up();
    }

    fn went_away(&self) {
        self.changed.store(self.now(), Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.show_up();
    }

    /// Counts the times that its idle connections had to be closed: those of another epoch are not used any more.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Seconds in its present state.
    pub fn since(&self) -> Duration {
        // A server that was passed over takes its turn again from the end of that time on; nothing happens then.
        let until = self.down_until.load(Ordering::Relaxed);
        let now = self.now();
        let changed = self.changed.load(Ordering::Relaxed);
        let changed = if until <= now { changed.max(until) } else { changed };
        Duration::from_millis(now.saturating_sub(changed))
    }

    /// Mean time from a request to the head of its response; zero before the first.
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }

    /// How it last failed.
    pub fn last_failure(&self) -> Option<Failure> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows it in `series` from now on.
    pub fn show(&self, series: ServerSeries) {
        let is_new = self.series.set(series).is_ok();
        if is_new {
            self.show_up();
        }
    }

    /// The series that it is shown in.
    pub fn series(&self) -> Option<&ServerSeries> {
        self.series.get()
    }

    fn show_up(&self) {
        let is_up = self.is_up() && !self.is_gone.load(Ordering::Relaxed);
        let Some(series) = self.series.get() else { return };
        match (self.is_shown_up.swap(is_up, Ordering::Relaxed), is_up) {
            (false, true) => series.up.inc(),
            (true, false) => series.up.dec(),
            _ => {}
        }
    }
}

/// An error with what caused it, on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What a failure is called where servers are looked at.
pub(super) fn words(failure: UpstreamFailure) -> &'static str {
    match failure {
        UpstreamFailure::Resolve => "its name does not resolve",
        UpstreamFailure::Connect => "it cannot be connected to",
        UpstreamFailure::ConnectTimeout => "it did not connect in time",
        UpstreamFailure::Tls => "its TLS handshake failed",
        UpstreamFailure::ResponseTimeout => "it did not answer in time",
        UpstreamFailure::Protocol => "its answer broke off, or was not HTTP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_time_that_a_server_is_passed_over_doubles_until_it_answers() {
        let state = ServerState::new();
        for seconds in [5, 10, 20, 30, 30] {
            state.pass_over(5 * SECOND, 30 * SECOND);
            assert!(!state.is_up());
            tokio::time::advance(seconds * SECOND - Duration::from_millis(1)).await;
            assert!(state.is_down(), "{seconds}");
            tokio::time::advance(Duration::from_millis(2)).await;
            assert!(state.is_up(), "{seconds}");
        }
        state.succeeded();
        state.pass_over(5 * SECOND, 30 * SECOND);
        tokio::time::advance(6 * SECOND).await;
        assert!(state.is_up());
    }

    #[tokio::test(start_paused = true)]
    async fn checks_in_a_row_change_the_health() {
        let state = ServerState::new();
        let check = |result| state.checked(result, 3, 2);
        assert!(!check(Err("no")) && !check(Err("no")) && !check(Ok(())) && !check(Err("no")) && !check(Err("no")));
        assert!(!state.is_unhealthy());
        assert!(check(Err("503")) && state.is_unhealthy());
        assert_eq!(state.last_failure().unwrap().what, "503");
        assert!(!check(Ok(())) && !check(Err("no")) && !check(Ok(())));
        assert!(check(Ok(())) && !state.is_unhealthy());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_back_gets_its_share_step_by_step() {
        let state = ServerState::new();
        let share = || state.share(Some(10 * SECOND));
        assert!((share() - 1.0).abs() < f64::EPSILON, "it was never away");
        state.set_draining(true);
        state.set_draining(false);
        assert!(share() < 0.1);
        tokio::time::advance(5 * SECOND).await;
        assert!((share() - 0.5).abs() < 0.01);
        tokio::time::advance(5 * SECOND).await;
        assert!((share() - 1.0).abs() < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn every_way_of_going_away_closes_the_idle_connections() {
        let state = ServerState::new();
        let mut epochs = vec![state.epoch()];
        state.pass_over(SECOND, SECOND);
        epochs.push(state.epoch());
        state.checked(Err("no"), 1, 1);
        epochs.push(state.epoch());
        state.set_draining(true);
        epochs.push(state.epoch());
        state.set_gone(true);
        epochs.push(state.epoch());
        assert!(
            epochs.is_sorted() && epochs.windows(2).all(|pair| pair[0] != pair[1]),
            "{epochs:?}"
        );
    }
}
