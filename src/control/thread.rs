//! One worker: a thread, a current-thread runtime, a listener.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use headpin_ledger::Ledgers;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::arrivals::Arrivals;
use super::execute::execute;
use super::sweep::{TICK, abandon, drain, sweep};
use super::{Command, Life, LifePhase, WorkerHandle};
use crate::listen::accept;
use crate::observe::labels::HeadPolicy;
use crate::observe::memory::Trend;
use crate::worker::{Accepting, Shared, WorkerContext};

/// What a worker is started with.
#[derive(Debug)]
pub struct WorkerSettings {
    /// Which one it is, from 0.
    pub index: usize,
    /// How many there are.
    pub workers: usize,
    /// Bound with `SO_REUSEPORT`; non-blocking. One, but for a process that has fewer workers than the one it took them from.
    pub listeners: Vec<TcpListener>,
    /// Whether it accepts from them before it is told to.
    pub accepts: bool,
    /// The policy at the start.
    pub policy: HeadPolicy,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Sampled at every turnover of a tls slab.
    pub trend: Arc<Trend>,
    /// Where its thread's claims to memory are kept.
    pub ledgers: Arc<Ledgers>,
    /// The phases to follow.
    pub life: Life,
}

/// A running worker.
#[derive(Debug)]
pub struct WorkerThread {
    handle: WorkerHandle,
    ended: oneshot::Receiver<usize>,
}

impl WorkerThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread or no event queue to give.
    pub fn start(settings: WorkerSettings) -> io::Result<Self> {
        let (handle, commands) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let runtime = || {
            Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())
        };
        let (started, start) = std::sync::mpsc::channel();
        thread::Builder::new()
            .name(format!("worker-{}", settings.index))
            .spawn(move || {
                // Built here: it must not leave this thread.
                match runtime() {
                    Ok(runtime) => {
                        let _ = started.send(Ok(()));
                        let abandoned = runtime.block_on(run(settings, commands));
                        drop(runtime);
                        let _ = end.send(abandoned);
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            })?;
        start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the worker ended at once")))?;
        Ok(Self { handle, ended })
    }

    /// The way to ask it.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Waits for its end; returns how many connections were open then, `None` if it panicked.
    ///
    /// # Cancel safety
    /// The number is lost, the worker ends all the same.
    pub async fn ended(self) -> Option<usize> {
        self.ended.await.ok()
    }
}

/// Serves until the end of its life; returns how many connections were abandoned.
async fn run(settings: WorkerSettings, mut commands: mpsc::UnboundedReceiver<Command>) -> usize {
    let WorkerSettings {
        index,
        workers,
        listeners,
        accepts,
        policy,
        shared,
        trend,
        ledgers,
        life,
    } = settings;
    ledgers.open();
    let worker = WorkerContext::new(index, workers, policy, shared);
    worker.slabs.on_turnover(Box::new(move || trend.turnover()));
    if !accepts {
        worker.accepting.send_replace(Accepting::NotNow);
    }
    for listener in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(worker.tracker.spawn_local(accept(Rc::clone(&worker), listener))),
            Err(error) => tracing::error!(%error, index, "a worker cannot listen"),
        }
    }
    let mut arrivals = Arrivals::default();

    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let draining = life.entered(LifePhase::Draining);
    tokio::pin!(draining);
    loop {
        tokio::select! {
            () = &mut draining => break,
            Some(command) = commands.recv() => execute(&worker, &mut arrivals, command),
            _ = ticks.tick() => sweep(&worker),
        }
    }

    drain(&worker);
    // What is in a request after a hand-over takes the time that it takes: nobody waits for this process.
    let grace = match worker.departures.is_leaving() {
        true => None,
        false => Some(worker.shared.settings.load().config.server.drain_grace),
    };
    let deadline = async {
        match grace {
            Some(grace) => tokio::time::sleep(grace).await,
            None => std::future::pending().await,
        }
    };
    let ending = life.entered(LifePhase::Ending);
    let empty = worker.tracker.wait();
    tokio::pin!(deadline, ending, empty);
    loop {
        tokio::select! {
            () = &mut empty => return 0,
            () = &mut ending => break,
            () = &mut deadline => break,
            Some(command) = commands.recv() => execute(&worker, &mut arrivals, command),
            _ = ticks.tick() => sweep(&worker),
        }
    }
    let abandoned = abandon(&worker);
    // Tunnels end in the next poll and say so in the log; whatever else there is ends with the runtime.
    tokio::task::yield_now().await;
    abandoned
}
