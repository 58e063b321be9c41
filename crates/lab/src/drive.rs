//! A scenario's load on a proxy that somebody else runs, for as long as it is wanted and whatever happens to the proxy.
//!
//! [`traffic`](super::traffic) is the same load as an experiment: there the first fault of a connection ends it, since
//! what was measured would no longer be what was asked for. Here nothing is measured, and a connection that breaks is
//! opened again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Clients;
use super::scenario::Traffic;
use super::traffic::Arrivals;
use super::units::format_bytes;

/// After a fault, before the same is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often it is said how things are.
const TELL_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    uploaded_bytes: AtomicU64,
    faults: AtomicU64,
    last_fault: Mutex<Option<String>>,
}

impl Counts {
    fn fault(&self, error: &anyhow::Error) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
    }

    /// How things are; the last fault is told once.
    fn tell(&self) -> String {
        let (open, uploaded, faults) = (&self.open, &self.uploaded_bytes, &self.faults);
        let last = self.last_fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        format!(
            "{} tunnels open, {} uploaded, {} faults{}",
            open.load(Ordering::Relaxed),
            format_bytes(uploaded.load(Ordering::Relaxed) as f64),
            faults.load(Ordering::Relaxed),
            last.map(|fault| format!(", the last: {fault}")).unwrap_or_default()
        )
    }
}

/// One more open tunnel, until dropped.
struct Open<'a>(&'a Counts);

impl<'a> Open<'a> {
    fn new(counts: &'a Counts) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Uploads at the scenario's rate and opens its tunnels until `stop`; tells `say` every ten seconds how things are.
///
/// # Errors
/// If the first connection fails: then nothing is begun. Later faults are told, and tried again.
///
/// # Cancel safety
/// Dropped, every connection is cut.
pub async fn drive(
    clients: &Clients,
    traffic: &Traffic,
    seed: u64,
    stop: &CancellationToken,
    say: &dyn Fn(&str),
) -> anyhow::Result<()> {
    clients.tunnel("/echo", traffic.head_bytes).await?;
    let counts = Arc::<Counts>::default();
    let tasks = TaskTracker::new();
    let stop = stop.child_token();
    let _end = stop.clone().drop_guard();
    let spawn = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(work).await });
    };
    for _ in 0..traffic.data_connections {
        let (clients, counts, traffic) = (clients.clone(), Arc::clone(&counts), traffic.clone());
        spawn(Box::pin(async move {
            loop {
                if let Err(error) = upload(&clients, &counts, &traffic).await {
                    counts.fault(&error);
                }
                sleep(RETRY_PAUSE).await;
            }
        }));
    }
    let mut telling = interval(TELL_EVERY);
    telling.reset();
    let mut due = 0.0;
    for (at, lifetime) in Arrivals::new(seed, traffic.tunnel_rate, traffic.tunnel_lifetime) {
        let arrival = sleep(Duration::from_secs_f64(at - due));
        tokio::pin!(arrival);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    tasks.close();
                    tasks.wait().await;
                    say(&counts.tell());
                    return Ok(());
                }
                _ = telling.tick() => say(&counts.tell()),
                () = arrival.as_mut() => break,
            }
        }
        due = at;
        let (clients, counts, head) = (clients.clone(), Arc::clone(&counts), traffic.head_bytes);
        spawn(Box::pin(async move {
            if let Err(error) = hold(&clients, &counts, head, lifetime).await {
                counts.fault(&error);
            }
        }));
    }
    Ok(())
}

/// One connection's share of the data, evenly, until something goes wrong.
async fn upload(clients: &Clients, counts: &Counts, traffic: &Traffic) -> anyhow::Result<()> {
    let mut wire = clients.connect().await?;
    let body = vec![b'.'; usize::try_from(traffic.chunk)?];
    let share = traffic.byte_rate as f64 / traffic.data_connections as f64;
    let mut due = interval(Duration::from_secs_f64(traffic.chunk as f64 / share));
    // What a pause has missed is not made up for.
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        wire.upload(&body).await?;
        counts.uploaded_bytes.fetch_add(traffic.chunk, Ordering::Relaxed);
    }
}

/// One tunnel, for its life.
async fn hold(clients: &Clients, counts: &Counts, head: usize, life: Option<Duration>) -> anyhow::Result<()> {
    let mut wire = clients.tunnel("/echo", head).await?;
    let _open = Open::new(counts);
    match life {
        Some(life) => tokio::select! {
            quiet = wire.quiet() => quiet,
            () = sleep(life) => Ok(()),
        },
        None => wire.quiet().await,
    }
}
