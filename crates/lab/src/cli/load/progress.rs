//! The progress of a run, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::load::{Glance, Phase, Until, Work};
use crate::units::format_bytes;

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);

/// A bar for connections while they are opened, and for time while they work.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    ticks: Interval,
    connections: u64,
    until: Until,
    working_for: Duration,
}

impl Progress {
    /// Draws on standard error; nothing if that is no terminal.
    pub(super) fn new(work: &Work) -> Self {
        let bar = ProgressBar::new(work.connections());
        let style = ProgressStyle::with_template("{prefix:<8} {wide_bar} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            bar,
            ticks,
            connections: work.connections(),
            until: work.until(),
            working_for: Duration::ZERO,
        }
    }

    /// Waits until it is to be drawn again.
    pub(super) async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    pub(super) fn show(&mut self, glance: &Glance) {
        if self.bar.is_hidden() {
            return;
        }
        let faults = if glance.faults > 0 {
            format!(", {} faults", glance.faults)
        } else {
            String::new()
        };
        match glance.phase {
            Phase::Opening => {
                self.bar.set_prefix("opening");
                self.bar.set_position(glance.opened.min(self.connections));
                self.bar
                    .set_message(format!("{} of {}{faults}", glance.opened, self.connections));
            }
            Phase::Working => {
                self.working_for += EVERY;
                self.bar.set_prefix("working");
                let (length, position) = self.extent(glance);
                self.bar.set_length(length);
                self.bar.set_position(position);
                let bytes = format_bytes(glance.bytes as f64);
                self.bar.set_message(format!("{} done, {bytes}{faults}", glance.units));
            }
            Phase::Closing => self.bar.set_prefix("closing"),
        }
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// How much there is to do, and how much of it is done.
    fn extent(&self, glance: &Glance) -> (u64, u64) {
        match self.until {
            Until::Elapsed(duration) => (duration.as_millis() as u64, self.working_for.as_millis() as u64),
            Until::Count(count) => (count.saturating_mul(self.connections), glance.units),
            Until::Stopped => (1, 1),
        }
    }
}
