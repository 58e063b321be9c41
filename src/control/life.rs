//! The phases of a proxy's life.

use tokio::sync::watch;

/// Where a proxy is in its life; it only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LifePhase {
    /// It accepts connections.
    Running,
    /// It accepts none, and ends when there are none left or the grace is over.
    Draining,
    /// It ends now.
    Ending,
    /// Every worker has ended.
    Ended,
}

/// Moves a proxy from phase to phase; each worker follows.
#[derive(Debug, Clone)]
pub struct Life(watch::Sender<LifePhase>);

impl Default for Life {
    fn default() -> Self {
        Self(watch::Sender::new(LifePhase::Running))
    }
}

impl Life {
    /// Enters `phase`, if that lies ahead.
    pub fn enter(&self, phase: LifePhase) {
        self.0.send_if_modified(|current| {
            let ahead = *current < phase;
            *current = phase.max(*current);
            ahead
        });
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> LifePhase {
        *self.0.borrow()
    }

    /// Waits until `phase` is entered or passed.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn entered(&self, phase: LifePhase) {
        // The sender is `self`: it cannot be gone.
        let _ = self.0.subscribe().wait_for(|current| *current >= phase).await;
    }
}
