//! Takes a plan through its phases.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::fault::LoadError;
use super::lanes::Lanes;
use super::pace::Pace;
use super::plan::{Plan, Until, Work};
use super::process::ThreadTimes;
use super::report::{Connections, Generator, Rate, Report};
use super::seat::{Seat, Shared};
use super::stats::{Live, Phase, Spread, Tally};
use super::watch::{Moments, Watch, count_of};
use super::{churn, download, echo, head, idle, limits, slow, upload};

/// Connections that are being opened at once; more would only wait in the target's accept queue.
const OPENING_MAX: usize = 128;
/// How long all connections together may take to close.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);
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
        let rest = timeout(shared.client.timeout * 2, live.all_rested(spawned)).await;
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

        let laps = Laps { opening, working };
        Ok(conclude(&shared, &watch, &moments, &laps, opened, partial, tls))
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
        Work::Echo { size, in_flight, .. } => lanes.spawn(index, echo::worker(seat, size, in_flight)),
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

fn conclude(
    shared: &Shared,
    watch: &Watch,
    moments: &Moments,
    laps: &Laps,
    ready: u64,
    partial: bool,
    tls: Option<String>,
) -> Report {
    let Plan {
        work,
        target,
        rate,
        threads,
        ..
    } = &shared.plan;
    let total = shared.live.total();
    let reached = total.opening_rate();
    let Tally {
        opened,
        resumed,
        opening,
        units,
        latency,
        bytes_sent,
        bytes_received,
        early_greetings,
        faults,
        ..
    } = total;
    let counted = count_of(work.unit(), work, units, opened, bytes_sent + bytes_received);
    let measured = match work {
        Work::Idle { .. } | Work::Head { .. } => &laps.opening,
        _ => &laps.working,
    };
    let own_growth = moments.end.own.rss_bytes as f64 - moments.before.own.rss_bytes as f64;
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        target: target.clone(),
        work: work.clone(),
        partial,
        tls,
        connections: Connections {
            asked: work.connections(),
            opened,
            resumed,
            ready,
        },
        rate: Rate { asked: *rate, reached },
        opening: Spread::of(&opening),
        seconds: measured.seconds,
        units,
        units_per_second: if measured.seconds > 0.0 {
            units as f64 / measured.seconds
        } else {
            0.0
        },
        bytes_sent,
        bytes_received,
        latency: Spread::of(&latency),
        early_greetings,
        faults,
        process: watch.conclude(moments, work, ready, counted),
        generator: Generator {
            threads: threads.get(),
            busy_ratio: measured.busy_ratio,
            starved_ratio: measured.starved_ratio,
            cpu_seconds: measured.cpu_seconds,
            rss_per_connection: (ready > 0).then(|| own_growth / ready as f64),
        },
        warnings: Vec::new(),
    };
    report.doubt();
    report
}

/// Time, and what the lanes' threads did with it.
#[derive(Debug)]
struct Clock {
    begin: Instant,
    times: Vec<ThreadTimes>,
}

struct Laps {
    opening: Lap,
    working: Lap,
}

struct Lap {
    seconds: f64,
    busy_ratio: f64,
    starved_ratio: f64,
    cpu_seconds: f64,
}

impl Clock {
    fn start(lanes: &Lanes) -> Self {
        Self {
            begin: Instant::now(),
            times: lanes.times(),
        }
    }

    fn restart(&mut self, lanes: &Lanes) {
        *self = Self::start(lanes);
    }

    fn lap(&self, lanes: &Lanes) -> Lap {
        let seconds = self.begin.elapsed().as_secs_f64();
        let now = lanes.times();
        let spent = || now.iter().zip(&self.times);
        let most = |spent: &mut dyn Iterator<Item = f64>| spent.fold(0.0, f64::max) / seconds.max(f64::MIN_POSITIVE);
        Lap {
            seconds,
            busy_ratio: most(&mut spent().map(|(now, then)| now.ran - then.ran)),
            starved_ratio: most(&mut spent().map(|(now, then)| now.waited - then.waited)),
            cpu_seconds: spent().map(|(now, then)| now.ran - then.ran).sum(),
        }
    }
}
