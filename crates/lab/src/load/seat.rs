//! What a worker shares with the run, and the steps in which they go together.
//!
//! ```text
//!   worker:  open ─► arrive ···· go ─► work ─► rest ···· close ─► end
//!   run:     all arrived? ─► sample ─► go        all at rest? ─► sample ─► close
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::fault::Fault;
use super::live::Live;
use super::pace::Pace;
use super::plan::{Plan, Until};
use super::tunnel::{Late, Tunnel};

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) client: Client,
    pub(super) live: Arc<Live>,
    pub(super) pace: Pace,
    /// Cancelled when the measured part begins.
    pub(super) go: CancellationToken,
    /// Cancelled when nothing new is to be begun.
    pub(super) finish: CancellationToken,
    /// Cancelled when connections may be closed.
    pub(super) close: CancellationToken,
    /// Units begun, where all workers share one count.
    pub(super) begun: AtomicU64,
}

impl Shared {
    /// The number of one more unit of the shared count, at its time; `None` if nothing more is to be begun.
    pub(super) async fn begin_one(&self) -> Option<u64> {
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        if matches!(self.plan.work.until(), Until::Count(count) if begun >= count) {
            return None;
        }
        self.finish.run_until_cancelled(self.pace.next()).await.map(|()| begun)
    }

    /// Whether one connection may begin another unit after `done`.
    pub(super) fn goes_on(&self, done: u64) -> bool {
        !self.finish.is_cancelled() && done < self.budget()
    }

    /// Units that one connection may do.
    pub(super) fn budget(&self) -> u64 {
        if let Until::Count(count) = self.plan.work.until() {
            count
        } else {
            u64::MAX
        }
    }
}

/// A worker's place in the run. Dropping it counts the steps that were not taken: the run never waits for a worker that
/// is gone.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) index: u64,
    /// Limits how many connections are being opened at once.
    permit: Option<OwnedSemaphorePermit>,
    arrived: bool,
    rested: bool,
}

impl Seat {
    pub(super) fn new(shared: Arc<Shared>, index: u64, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            shared,
            index,
            permit,
            arrived: false,
            rested: false,
        }
    }

    /// Opens what the worker works on; counts how long it took, or why it failed.
    ///
    /// The future is boxed, because it is large and soon over, while its worker may live on for hours.
    pub(super) async fn open<T>(&self, opening: Pin<Box<impl Future<Output = Result<T, Fault>>>>) -> Option<T> {
        let begin = Instant::now();
        let opening = timeout(self.shared.client.timeout, opening);
        let opened = self.shared.finish.run_until_cancelled(opening).await?;
        match opened.unwrap_or(Err(Fault::Timeout("opening a connection"))) {
            Ok(opened) => {
                self.shared.live.tally(self.index).count_opening(begin.elapsed(), false);
                Some(opened)
            }
            Err(fault) => {
                self.count_fault(fault);
                None
            }
        }
    }

    /// Says that the connection is open, and waits for the others.
    pub(super) async fn go(&mut self) {
        self.arrive();
        self.shared.go.cancelled().await;
    }

    /// Says that the work is done, and waits until connections may be closed.
    pub(super) async fn rest(&mut self, done: Result<(), Fault>) {
        if let Err(fault) = done {
            self.count_fault(fault);
        }
        self.count_rest();
        self.shared.close.cancelled().await;
    }

    /// Closes a tunnel whose work is done.
    pub(super) async fn close(self, tunnel: Box<Tunnel>, late: Late) {
        if let Err(fault) = Box::pin(tunnel.close(late)).await {
            self.count_fault(fault);
        }
    }

    pub(super) fn count_fault(&self, fault: Fault) {
        tracing::debug!(index = self.index, error = &fault as &dyn std::error::Error, "fault");
        self.shared.live.tally(self.index).count_fault(fault);
    }

    /// Waits for what is still under way, but not forever.
    pub(super) async fn in_time(&self, rest: impl Future<Output = Result<(), Fault>>) -> Result<(), Fault> {
        let rest = timeout(self.shared.client.timeout, rest).await;
        rest.unwrap_or(Err(Fault::Timeout("the answer to what was under way")))
    }

    fn arrive(&mut self) {
        self.permit = None;
        if !std::mem::replace(&mut self.arrived, true) {
            self.shared.live.count_arrival();
        }
    }

    fn count_rest(&mut self) {
        if !std::mem::replace(&mut self.rested, true) {
            self.shared.live.count_rest();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.arrive();
        self.count_rest();
    }
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on until the budget is used up.
    Work,
    /// Only finish what is under way.
    Finish,
}
