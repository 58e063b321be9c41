//! Telling the service manager how the service is: sd_notify(3). Without one, that is without `NOTIFY_SOCKET` in the
//! environment, nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;

use super::watchdog::DRAIN_PERIOD;

/// How much longer a stop may take from each time that workers have shown that they drain. They do so every
/// [`DRAIN_PERIOD`]; the rest is patience with a busy machine.
const STOP_EXTENSION: Duration = Duration::from_secs(5 * DRAIN_PERIOD.as_secs());

/// How often the manager wants to hear that the service is alive: twice in what it waits for, as sd_watchdog_enabled(3)
/// advises. `None` if it does not.
pub(super) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled()
        .map(|limit| limit / 2)
        .filter(|period| !period.is_zero())
}

/// The service serves; after a reload, again.
pub(super) fn ready(status: &str) {
    // A status is one line, and what a faulty config is told with has one for each fault.
    let status = status.replace('\n', "; ");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// It reads its config again; [`ready`] ends that.
pub(super) fn reloading() {
    // systemd tells by the time which of its requests this answers (Type=notify-reload).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload: no clock"),
    }
}

/// It drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Process `pid` is the service from now on, which serves; it may speak for it.
pub(super) fn succeeded_by(pid: u32) {
    tell(&[
        NotifyState::MainPid(pid),
        NotifyState::Ready,
        NotifyState::Status("handed over; the process before ends what is in a request"),
    ]);
}

/// Its workers are alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Its workers are alive, and drain: the stop may take as long as server.drain_grace lets it.
pub(super) fn still_stopping(open: i64) {
    let extension = u32::try_from(STOP_EXTENSION.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Watchdog,
        NotifyState::ExtendTimeoutUsec(extension),
        NotifyState::Status(&format!("draining, connections open: {open}")),
    ]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, ?state, "the service manager cannot be told");
    }
}
