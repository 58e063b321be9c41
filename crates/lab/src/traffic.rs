//! So many bytes a second, and tunnels that arrive at random: in the background, while the observer looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Clients, Wire};
use super::random::Random;
use super::scenario::Traffic;

/// The part of the data that a burst brings.
const BURST_SHARE: f64 = 0.8;

/// A tunnel that was due so many seconds before the end should be open, even as one of a burst.
pub(super) const OPENING: f64 = 0.5;

/// When the bytes of a load are due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Evenly.
    Steady,
    /// Most of each period's bytes at its beginning.
    Bursts {
        /// From one burst to the next.
        every: Duration,
        /// How long it lasts.
        lasts: Duration,
    },
}

impl Shape {
    /// When byte `offset` of a load of `rate` bytes a second is due.
    fn due(self, offset: f64, rate: f64) -> Duration {
        let seconds = match self {
            Self::Steady => offset / rate,
            Self::Bursts { every, lasts } => {
                let (every, lasts) = (every.as_secs_f64(), lasts.as_secs_f64());
                let of_period = rate * every;
                let (period, rest) = ((offset / of_period).floor(), offset % of_period);
                let of_burst = of_period * BURST_SHARE;
                let within = if rest < of_burst {
                    lasts * rest / of_burst
                } else {
                    lasts + (every - lasts) * (rest - of_burst) / (of_period - of_burst)
                };
                period * every + within
            }
        };
        Duration::from_secs_f64(seconds)
    }
}

/// What a load did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Bytes uploaded and acknowledged, warm-up included.
    pub uploaded_bytes: u64,
    /// The rate that was asked for, in bytes a second; 0 without uploads.
    pub byte_rate_asked: f64,
    /// The rate that was reached.
    pub byte_rate: f64,
    /// Tunnels that were opened.
    pub tunnels: u64,
    /// Tunnels that were due in a second; 0 without tunnels.
    #[serde(default)]
    pub tunnel_rate_asked: f64,
    /// Tunnels that were opened in a second.
    #[serde(default)]
    pub tunnel_rate: f64,
    /// How late the latest upload or tunnel began, in seconds.
    pub late_seconds: f64,
    /// What went wrong.
    pub faults: u64,
    /// The first fault in full.
    pub first_fault: Option<String>,
    /// What the generator itself doubts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A load that goes on in the background. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Load {
    clients: Clients,
    tasks: TaskTracker,
    stop: CancellationToken,
    counts: Arc<Counts>,
    begin: Instant,
    byte_rate: f64,
    /// When tunnels began to come, and when they are due.
    tunnels: Option<(Instant, Due)>,
}

/// When tunnels are due.
#[derive(Clone, Debug)]
struct Due {
    arrivals: Arrivals,
    /// So many more at once, every so often.
    burst: Option<(usize, Duration)>,
}

impl Due {
    /// How many in the first `seconds`.
    fn within(&self, seconds: f64) -> u64 {
        let arrived = self.arrivals.clone().take_while(|(at, _)| *at < seconds).count() as u64;
        let of_bursts = self.burst.map_or(0, |(tunnels, every)| {
            tunnels as u64 * u64::from(seconds >= 0.0) * (1 + (seconds / every.as_secs_f64()) as u64)
        });
        arrived + of_bursts
    }
}

#[derive(Debug, Default)]
struct Counts {
    uploaded_bytes: AtomicU64,
    tunnels: AtomicU64,

    late_micros: AtomicU64,
    faults: AtomicU64,
    first_fault: Mutex<Option<String>>,
}

impl Counts {
    /// Something that was due begins now.
    fn late(&self, due: Instant) {
        let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.late_micros.fetch_max(late, Ordering::Relaxed);
    }

    fn fault(&self, error: &anyhow::Error) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("{error:#}"));
    }
}

impl Load {
    pub(super) fn new(clients: Clients) -> Self {
        Self {
            clients,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            counts: Arc::default(),
            begin: Instant::now(),
            byte_rate: 0.0,
            tunnels: None,
        }
    }

    /// Begins to upload.
    pub(super) fn upload(&mut self, traffic: &Traffic, shape: Shape) {
        self.byte_rate = traffic.byte_rate as f64;
        self.begin = Instant::now();
        let connections = traffic.data_connections as u64;
        for connection in 0..connections {
            let (clients, counts) = (self.clients.clone(), Arc::clone(&self.counts));
            let (begin, rate, chunk) = (self.begin, self.byte_rate, traffic.chunk);
            let uploading = async move {
                let mut wire = clients.connect().await?;
                let body = vec![b'.'; usize::try_from(chunk)?];
                let turns = (0_u64..).map(|turn| turn * connections + connection);
                for number in turns {
                    let due = begin + shape.due((number * chunk) as f64, rate);
                    sleep_until(due).await;
                    counts.late(due);
                    wire.upload(&body).await?;
                    counts.uploaded_bytes.fetch_add(chunk, Ordering::Relaxed);
                }
                Ok(())
            };
            self.spawn(uploading);
        }
    }

    /// Begins to open tunnels, at the moments that the seed says.
    pub(super) fn open(&mut self, traffic: &Traffic, seed: u64) {
        let Traffic {
            tunnel_rate,
            tunnel_lifetime,
            head_bytes,
            ..
        } = *traffic;
        let arrivals = Arrivals::new(seed, tunnel_rate, tunnel_lifetime);
        let begin = Instant::now();
        let due = Due {
            arrivals: arrivals.clone(),
            burst: None,
        };
        self.tunnels = Some((begin, due));
        let (clients, counts) = (self.clients.clone(), Arc::clone(&self.counts));
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        self.spawn(async move {
            for (at, lifetime) in arrivals {
                let due = begin + Duration::from_secs_f64(at);
                sleep_until(due).await;
                counts.late(due);
                let (clients, counts) = (clients.clone(), Arc::clone(&counts));
                let stop = stop.clone();
                tasks.spawn(async move {
                    let held = hold(&clients, &counts, head_bytes, lifetime);
                    if let Some(Err(error)) = stop.run_until_cancelled(Box::pin(held)).await {
                        counts.fault(&error);
                    }
                });
            }
            Ok(())
        });
    }

    /// Opens `tunnels` more at once, every so often, each to stay for `lasts`.
    pub(super) fn burst(&mut self, tunnels: usize, every: Duration, lasts: Duration, head_bytes: usize) {
        let begin = Instant::now();
        if let Some((_, due)) = &mut self.tunnels {
            due.burst = Some((tunnels, every));
        }
        for _ in 0..tunnels {
            let (clients, counts) = (self.clients.clone(), Arc::clone(&self.counts));
            self.spawn(async move {
                for burst in 0_u32.. {
                    sleep_until(begin + every * burst).await;
                    hold(&clients, &counts, head_bytes, Some(lasts)).await?;
                }
                Ok(())
            });
        }
    }

    fn spawn(&self, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let (stop, counts) = (self.stop.clone(), Arc::clone(&self.counts));
        self.tasks.spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(Box::pin(work)).await {
                counts.fault(&error);
            }
        });
    }

    /// Ends it: every connection is closed.
    pub(super) async fn end(self) -> Done {
        let seconds = self.begin.elapsed().as_secs_f64();
        let tunnels = self.counts.tunnels.load(Ordering::Relaxed);
        let (tunnel_rate_asked, tunnel_rate) = self.tunnels.as_ref().map_or((0.0, 0.0), |(begin, due)| {
            let seconds = begin.elapsed().as_secs_f64();
            (due.within(seconds - OPENING) as f64 / seconds, tunnels as f64 / seconds)
        });
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let counts = &self.counts;
        let uploaded_bytes = counts.uploaded_bytes.load(Ordering::Relaxed);
        Done {
            uploaded_bytes,
            byte_rate_asked: self.byte_rate,
            byte_rate: if self.byte_rate > 0.0 {
                uploaded_bytes as f64 / seconds
            } else {
                0.0
            },
            tunnels,
            tunnel_rate_asked,
            tunnel_rate,
            late_seconds: counts.late_micros.load(Ordering::Relaxed) as f64 / 1e6,
            faults: counts.faults.load(Ordering::Relaxed),
            first_fault: counts
                .first_fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            warnings: Vec::new(),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Opens one tunnel and holds it, for its life or until it is cancelled.
async fn hold(clients: &Clients, counts: &Counts, head: usize, life: Option<Duration>) -> anyhow::Result<()> {
    let mut wire: Wire = clients.tunnel("/echo", head).await?;
    counts.tunnels.fetch_add(1, Ordering::Relaxed);
    let end = async {
        match life {
            Some(life) => sleep(life).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        quiet = wire.quiet() => quiet,
        () = end => Ok(()),
    }
}

/// Poisson arrivals with exponential lifetimes: when each comes, and how long it stays.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    random: Random,
    at: f64,
    rate: f64,
    lifetime: Option<f64>,
}

impl Arrivals {
    pub(super) fn new(seed: u64, rate: f64, lifetime: Option<Duration>) -> Self {
        Self {
            random: Random::new(seed),
            at: 0.0,
            rate,
            lifetime: lifetime.map(|lifetime| lifetime.as_secs_f64()),
        }
    }
}

impl Iterator for Arrivals {
    type Item = (f64, Option<Duration>);

    fn next(&mut self) -> Option<Self::Item> {
        self.at += self.random.exponential(1.0 / self.rate);
        let life = self
            .lifetime
            .map(|mean| Duration::from_secs_f64(self.random.exponential(mean)));
        Some((self.at, life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_bring_the_same_bytes_in_the_same_periods() {
        let shape = Shape::Bursts {
            every: Duration::from_secs(10),
            lasts: Duration::from_secs(2),
        };
        let due = |offset| shape.due(offset, 100.0).as_secs_f64();
        assert_eq!(
            [due(0.0), due(400.0), due(800.0), due(1_000.0), due(1_800.0)],
            [0.0, 1.0, 2.0, 10.0, 12.0]
        );
        assert_eq!(Shape::Steady.due(250.0, 100.0).as_secs_f64(), 2.5);
    }

    #[test]
    fn tunnels_are_due_as_they_arrive_and_with_every_burst() {
        let mut due = Due {
            arrivals: Arrivals::new(1, 10.0, None),
            burst: None,
        };
        let arrived = due.within(10.0);
        assert!((70..130).contains(&arrived), "{arrived}");
        due.burst = Some((5, Duration::from_secs(4)));
        assert_eq!(due.within(10.0), arrived + 15);
    }

    #[test]
    fn arrivals_are_those_of_the_seed() {
        let first = |seed| Arrivals::new(seed, 10.0, None).take(1_000).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        let last = first(1)[999].0;
        assert!((85.0..115.0).contains(&last), "{last}");
    }
}
