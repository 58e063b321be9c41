//! The hand-over, as `headpin serve` does it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::time::timeout;

use super::manager;
use super::signals::StopSignals;
use crate::app::Running;
use crate::config::HandoverSocket;
use crate::handover::{
    self, Address, Answer, Caller, Door, DoorError, Given, Heir, HiddenDoor, Predecessor, SpawnError, Started,
    Successor, Summary, TakeError, Wants,
};
use crate::observe::labels::{HandedKind, HandoverLeft, HandoverResult};
use crate::observe::metrics::Metrics;

/// How long a successor that was started may take to come.
const COMES: Duration = Duration::from_secs(60);
/// How long the predecessor may take to end when it has hung up: then it has died.
const DIES: Duration = Duration::from_secs(2);

/// Why there is no successor. This process serves on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("headpin runs on its embedded default, which has no successor: start it with --config")]
    Embedded,
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("the successor did not come within {COMES:?}")]
    Late,
    #[error("{error}; {gone} connections had gone to it")]
    Give { error: handover::GiveError, gone: u64 },
}

/// Meets the headpin that runs, if this process is to succeed one: the one that has started it, or else the one at `socket`.
///
/// # Cancel safety
/// Dropped, the predecessor goes on.
pub(super) async fn meet(spawner: Option<&Address>, socket: Option<&Address>) -> anyhow::Result<Option<Predecessor>> {
    let stream = match (spawner, socket) {
        (Some(spawner), _) => match spawner.connect()? {
            Some(stream) => Some(stream),
            None => anyhow::bail!("the headpin that has started this one is gone"),
        },
        (None, Some(socket)) => socket.connect()?,
        (None, None) => None,
    };
    match stream {
        Some(stream) => Ok(Some(Predecessor::meet(stream).await?)),
        None => Ok(None),
    }
}

/// The socket of `config`, as an address.
pub(super) fn address(config: &HandoverSocket) -> Option<Address> {
    config.path().map(Address::Path)
}

/// Takes over all that `predecessor` has. Returns false if that was nothing, or is not for this process to keep.
///
/// # Errors
/// When nothing was taken over: the predecessor serves on.
///
/// # Cancel safety
/// None: what is on its way would be lost.
pub(super) async fn take_over(predecessor: &mut Predecessor, running: &Running) -> Result<bool, TakeError> {
    // Before it can end: its number may be another's then.
    let process = watch(predecessor.pid);
    let mut began = false;
    let taken = predecessor.take_over(&running.workers, &mut began).await;
    show(&running.metrics, predecessor);
    let summary = predecessor.summary();
    match taken {
        Ok(summary) => {
            tracing::info!(
                predecessor = predecessor.pid,
                its_version = predecessor.version,
                tunnels = summary.tunnels,
                connections = summary.connections,
                left = left(&summary),
                took = ?summary.took,
                longest_pause = ?summary.longest_pause,
                "taken over"
            );
            Ok(true)
        }
        Err(error) if !began => Err(error),
        Err(error) => {
            let has_died = has_ended(process).await;
            tracing::error!(
                error = &error as &dyn std::error::Error,
                predecessor = predecessor.pid,
                has_died,
                tunnels = summary.tunnels,
                connections = summary.connections,
                lost = left(summary),
                "the hand-over broke"
            );
            Ok(has_died)
        }
    }
}

/// Shows in `metrics` what was taken over from `predecessor`.
pub(super) fn show(metrics: &Metrics, predecessor: &mut Predecessor) {
    for pause in predecessor.take_pauses() {
        metrics.handover_pause_seconds.observe(pause.as_secs_f64());
    }
    let summary = predecessor.summary();
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.handover_taken[HandedKind::Tunnel].set(count(summary.tunnels));
    metrics.handover_taken[HandedKind::Connection].set(count(summary.connections));
    let left = |why: HandoverLeft| {
        let of = |reason: &str| match reason {
            handover::TLS_1_2 => HandoverLeft::Tls12,
            handover::BROKE => HandoverLeft::Broken,
            _ => HandoverLeft::Refused,
        };
        let left = summary.left.iter().filter(|(reason, _)| of(reason) == why);
        left.map(|(_, count)| count).sum()
    };
    for why in HandoverLeft::ALL {
        metrics.handover_left[why].set(count(left(why)));
    }
    metrics.handover_seconds.set(summary.took.as_secs_f64());
    metrics
        .handover_longest_pause_seconds
        .set(summary.longest_pause.as_secs_f64());
}

/// What stayed with the predecessor, in words.
pub(super) fn left(summary: &Summary) -> String {
    let reasons = summary.left.iter().map(|(why, count)| format!("{count}: {why}"));
    match summary.left.len() {
        0 => "none".to_owned(),
        _ => reasons.collect::<Vec<_>>().join("; "),
    }
}

/// To be told when process `pid` ends; `None` if it has.
fn watch(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

async fn has_ended(process: Option<OwnedFd>) -> bool {
    let Some(process) = process else { return true };
    let waiting = tokio::task::spawn_blocking(move || {
        // Readable when it has ended (pidfd_open(2)).
        let limit = Timespec::try_from(DIES).ok();
        poll(&mut [PollFd::new(&process, PollFlags::IN)], limit.as_ref())
    });
    matches!(waiting.await, Ok(Ok(1)))
}

/// What came of a hand-over.
#[derive(Debug)]
pub(super) enum HandOver {
    /// The successor has everything that could go.
    Given(Box<Given>),
    /// This process serves on.
    Failed,
    /// Nothing has changed, and this process is to end.
    Stopped,
}

/// What this process needs to have a successor.
#[derive(Debug)]
pub(super) struct Succession {
    door: Option<Door>,
    /// `None` on the embedded default.
    successor: Option<Successor>,
}

impl Succession {
    /// Of a process that was started as `successor` would be, with its door at `door`.
    pub(super) fn new(door: Option<HiddenDoor>, successor: Option<Successor>) -> Self {
        let door = door.and_then(|door| door.open().inspect_err(no_door).ok());
        Self { door, successor }
    }

    /// Waits for somebody who comes to the door.
    ///
    /// # Cancel safety
    /// As [`Door::caller`].
    pub(super) async fn caller(&self) -> Caller {
        match &self.door {
            Some(door) => door.caller().await,
            None => std::future::pending().await,
        }
    }

    /// Hands over: to `caller`, if it is a successor, or else to one that is started now. What that came to is logged and counted, and
    /// told to `caller`. Before the successor is ready, `stop` stops it.
    ///
    /// # Cancel safety
    /// None: what is on its way would be lost.
    pub(super) async fn hand_over(
        &mut self,
        running: &Running,
        caller: Option<Caller>,
        stop: &mut StopSignals,
    ) -> HandOver {
        let (caller, asking) = match caller {
            Some(caller) if caller.wants() == Wants::Everything => (Some(caller), None),
            asking => (None, asking),
        };
        tracing::info!(started_by_us = caller.is_none(), "handing over to a successor");
        let given = tokio::select! {
            heir = self.heir(running, caller) => match heir {
                Ok((heir, started)) => {
                    // What it has from now on is its own.
                    if let Some(started) = started {
                        started.release();
                    }
                    self.give(running, heir).await
                }
                Err(error) => Err(error),
            },
            () = stop.asked() => {
                if let Some(asking) = asking {
                    asking.refuse("it was told to end meanwhile").await;
                }
                return HandOver::Stopped;
            }
        };
        match given {
            Ok(given) => {
                running.metrics.handovers_total[HandoverResult::Given].inc();
                let summary = &given.summary;
                tracing::info!(
                    successor = summary.pid,
                    its_version = summary.version,
                    tunnels = summary.tunnels,
                    connections = summary.connections,
                    left = left(summary),
                    took = ?summary.took,
                    longest_pause = ?summary.longest_pause,
                    "handed over"
                );
                manager::succeeded_by(summary.pid);
                if let Some(asking) = asking {
                    asking.answer(&Answer::Upgraded(summary.clone())).await;
                }
                HandOver::Given(Box::new(given))
            }
            Err(error) => {
                running.metrics.handovers_total[HandoverResult::Failed].inc();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "not handed over; this process serves on"
                );
                self.open_again();
                if let Some(asking) = asking {
                    asking.refuse(&format!("{:#}", anyhow::Error::new(error))).await;
                }
                HandOver::Failed
            }
        }
    }

    /// A successor that is ready, and its process, if this one has started it.
    async fn heir(&self, running: &Running, caller: Option<Caller>) -> Result<(Heir, Option<Started>), UpgradeError> {
        let (caller, started) = match caller {
            Some(caller) => (caller, None),
            None => {
                let (caller, started) = self.start_successor().await?;
                (caller, Some(started))
            }
        };
        let estate = running.estate();
        let heir = tokio::select! {
            heir = Heir::make(caller, &estate) => heir,
            never = self.refuse_others() => match never {},
        };
        let heir = heir.map_err(|error| UpgradeError::Give { error, gone: 0 })?;
        Ok((heir, started))
    }

    async fn give(&self, running: &Running, heir: Heir) -> Result<Given, UpgradeError> {
        let estate = running.estate();
        let given = tokio::select! {
            given = heir.give(&estate) => given,
            never = self.refuse_others() => match never {},
        };
        given.map_err(|(error, gone)| UpgradeError::Give { error, gone })
    }

    /// Starts a successor, and waits until it comes.
    async fn start_successor(&self) -> Result<(Caller, Started), UpgradeError> {
        let successor = self.successor.as_ref().ok_or(UpgradeError::Embedded)?;
        let own = match &self.door {
            Some(_) => None,
            None => Some(Door::open(Address::unique())?),
        };
        let Some(door) = own.as_ref().or(self.door.as_ref()) else {
            return Err(UpgradeError::Late);
        };
        let mut started = successor.start(door.address())?;
        let coming = async {
            loop {
                let caller = door.caller().await;
                if caller.wants() == Wants::Everything {
                    return caller;
                }
                caller.refuse(UNDER_WAY).await;
            }
        };
        let came = timeout(COMES, async {
            tokio::select! {
                caller = coming => Ok(caller),
                failed = started.failed() => Err(failed),
            }
        });
        match came.await {
            Ok(came) => {
                let caller = came?;
                started.came(caller.pid);
                Ok((caller, started))
            }
            Err(_) => Err(UpgradeError::Late),
        }
    }

    async fn refuse_others(&self) -> std::convert::Infallible {
        loop {
            self.caller().await.refuse(UNDER_WAY).await;
        }
    }

    /// The successor may have put its own door in the place of this one.
    fn open_again(&mut self) {
        if let Some(door) = self.door.take() {
            let address = door.address().clone();
            drop(door);
            match Door::open(address) {
                Ok(door) => self.door = Some(door),
                Err(error) => no_door(&error),
            }
        }
    }
}

fn no_door(error: &DoorError) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "no successor can come; SIGUSR2 still starts one"
    );
}

const UNDER_WAY: &str = "a hand-over to another process is under way; try again when it is done";
