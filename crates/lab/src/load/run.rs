//! Takes a plan through its phases.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::clock::Clock;
use super::course::Course;
use super::fault::LoadError;
use super::lanes::Lanes;
use super::live::{Live, Phase};
use super::pace::Pace;
use super::plan::{Plan, Until, Work};
use super::report::Report;
use super::seat::{Seat, Shared};
use super::watch::{Moments, Watch};
use super::{churn, download, echo, head, idle, limits, slow, upload};

/// Connections that are being opened at once; more would only wait in the target's accept queue.
const OPENING_MAX: usize = 128;
/// How long all connections together may take to close.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);
/// How long whoever stopped a run waits for what is under way.
const STOPPING_PATIENCE: Duration = Duration::from_secs(3);
/// After this long a process that gives memory back has done so.
const SETTLING: Duration = Duration::from_secs(1);

/// A run that is about to begin.
#[derive(Debug)]
pub struct Run {
    plan: Plan,
    live: Arc<Live>,
    stop: CancellationToken,
    ready: Option<oneshot::Sender<u64>>,
}

impl Run {
    /// A run of `plan`.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let live = Arc::new(Live::new(plan.threads.get()));
        Self {
            plan,
            live,
            stop: CancellationToken::new(),
            ready: None,
        }
    }

    /// The counts while it goes on.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Cancelling it ends the run early; what was measured is kept.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells once how many connections are open, when no more will be.
    pub fn on_ready(&mut self) -> oneshot::Receiver<u64> {
        let (tell, told) = oneshot::channel();
        self.ready = Some(tell);
        told
    }

    /// Runs it.
    ///
    /// # Errors
    /// If the target, the watched process or this machine does not allow it to begin. Once it has begun, faults are
    /// part of the report.
    ///
    /// # Cancel safety
    /// Dropping the future closes every connection; the report is lost. Cancel [`Self::stop_token`] instead.
    pub async fn execute(self) -> Result<Report, LoadError> {
        let Self {
            plan,
            live,
            stop,
            mut ready,
        } = self;
        let connections = plan.work.connections();
        limits::allow(connections, plan.threads)?;
        let mut watch = Watch::new(plan.pid)?;
        let (client, tls) = stop
            .run_until_cancelled(Client::try_out(&plan))
            .await
            .ok_or(LoadError::Stopped)??;
        let lanes = Lanes::start(plan.threads).map_err(LoadError::Thread)?;
        let shared = Arc::new(Shared {
            pace: Pace::new(plan.rate),
            client,
            live: Arc::clone(&live),
            go: CancellationToken::new(),
            finish: CancellationToken::new(),
            close: CancellationToken::new(),
            begun: AtomicU64::new(0),
            plan,
        });

        let mut moments = Moments {
            before: watch.sample(),
            ..Moments::default()
        };
        let mut clock = Clock::start(&lanes);
        let spawned = open(&shared, &lanes, &stop).await;
        let mut partial = stop.is_cancelled();
        let opening = clock.lap(&lanes);

        moments.ready = watch.sample();
        let opened = live.total().opened;
        if let Some(ready) = ready.take() {
            // Whoever asked may have stopped listening.
            _ = ready.send(opened);
        }
        live.enter(Phase::Working);
        clock.restart(&lanes);
        shared.go.cancel();
        let until = shared.plan.work.until();
        tokio::select! {
            () = live.all_rested(spawned) => {}
            () = elapsed(until) => {}
            () = watch.seek_peak(moments.ready) => {}
            () = stop.cancelled() => partial |= until != Until::Stopped,
        }
        shared.finish.cancel();
        let rest = timeout(resting_patience(&shared, &stop), live.all_rested(spawned)).await;
        partial |= rest.is_err();
        let working = clock.lap(&lanes);
        moments.end = watch.sample();

        live.enter(Phase::Closing);
        shared.close.cancel();
        _ = timeout(CLOSING_PATIENCE, lanes.all_ended()).await;
        drop(lanes);
        if watch.is_watching() && !stop.is_cancelled() {
            sleep(SETTLING).await;
        }
        moments.after = watch.sample();

        let process = |count| watch.conclude(&moments, &shared.plan.work, opened, count);
        let own_growth = moments.end.own.rss_bytes as f64 - moments.before.own.rss_bytes as f64;
        Ok(Course {
            opening,
            working,
            opened,
            partial,
            tls,
            own_growth,
        }
        .into_report(&shared, process))
    }
}

/// Opens the plan's connections at its rate; gives how many workers there are.
async fn open(shared: &Arc<Shared>, lanes: &Lanes, stop: &CancellationToken) -> u64 {
    let mut spawned = 0;
    let paced = !matches!(shared.plan.work, Work::Churn { .. });
    let permits = Arc::new(Semaphore::new(OPENING_MAX));
    let all = async {
        for index in 0..shared.plan.work.connections() {
            let permit = if paced {
                shared.pace.next().await;
                Some(
                    Arc::clone(&permits)
                        .acquire_owned()
                        .await
                        .expect("the semaphore is never closed"),
                )
            } else {
                None
            };
            spawn(lanes, Seat::new(Arc::clone(shared), index, permit));
            spawned += 1;
        }
        shared.live.all_arrived(shared.plan.work.connections()).await;
    };
    if stop.run_until_cancelled(all).await.is_none() {
        // Those that are still being opened give up.
        shared.finish.cancel();
        _ = timeout(shared.client.timeout, shared.live.all_arrived(spawned)).await;
    }
    spawned
}

fn spawn(lanes: &Lanes, seat: Seat) {
    let index = seat.index;
    match seat.shared.plan.work {
        Work::Idle { .. } => lanes.spawn(index, idle::worker(seat)),
        Work::Echo { .. } => lanes.spawn(index, echo::worker(seat)),
        Work::Churn { size, .. } => lanes.spawn(index, churn::worker(seat, size)),
        Work::Upload { size, over, .. } => lanes.spawn(index, upload::worker(seat, size, over)),
        Work::Download { size, over, .. } => lanes.spawn(index, download::worker(seat, size, over)),
        Work::Slow {
            size, read_rate, over, ..
        } => lanes.spawn(index, slow::worker(seat, size, read_rate, over)),
        Work::Head { size, greet, .. } => lanes.spawn(index, head::worker(seat, size, greet)),
    }
}

async fn elapsed(until: Until) {
    match until {
        Until::Elapsed(duration) => sleep(duration).await,
        Until::Count(_) | Until::Stopped => std::future::pending().await,
    }
}

/// How long workers may take to finish what is under way.
fn resting_patience(shared: &Shared, stop: &CancellationToken) -> Duration {
    match shared.plan.work {
        _ if stop.is_cancelled() => STOPPING_PATIENCE,
        Work::Upload { size, .. } | Work::Download { size, .. } => upload::transfer_patience(shared, size),
        _ => shared.client.timeout * 2,
    }
}
