//! The admin endpoints, on a listener and a thread of their own, so that a scrape never waits for traffic.
//!
//! | endpoint | what |
//! | --- | --- |
//! | `GET /` | the live page for a browser, else this list |
//! | `GET /api/events` | what the live page shows, as server-sent events |
//! | `GET /metrics` | every series, for Prometheus |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while it accepts connections, 503 once it drains |
//! | `GET /api/slabs` | every live slab: class, worker, age, fill, who pins it |
//! | `GET /api/connections` | every connection |
//! | `GET /api/memory` | the resident set by parts, kernel memory, the usage trend; `?sockets=true`, `?per=connection` |
//! | `GET /snapshot` | a V8 heap snapshot, for Chrome's DevTools and memlab |
//! | `GET /debug/pprof/heap` | where live memory was allocated, for pprof; off unless the allocator profiles |
//! | `GET`, `PUT /api/head_policy` | the policy in force; `{"head_policy": "copy"}` |
//! | `GET`, `PUT /api/upstreams` | upstream servers: state and why; `{"upstream": "chat", "server": "http://...", "drain": true}` |
//! | `POST /api/reload` | reads the config file again |
//! | `POST /api/drain` | begins the drain |

mod dump;
mod events;
mod guard;
mod heap_profile;
mod inspect;
mod json;
mod memory;
mod page;
mod presence;
mod probes;
mod problem;
mod routes;
mod snapshot;
mod steer;
mod upstreams;

pub use dump::Dumps;
pub use presence::Presence;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use headpin_ledger::Ledgers;
use prometheus::Registry;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::interval;

use self::presence::PresentListener;
use crate::config::AdminHost;
use crate::control::{Life, LifePhase, PolicySwitch, Reloader, Workers};
use crate::observe::memory::Trend;
use crate::observe::metrics::Metrics;
use crate::sockets;
use crate::worker::Shared;

/// How often memory is sampled for the trend, traffic or not.
const TREND_TICK: Duration = Duration::from_secs(60);
/// How long a client of the admin endpoints may leave what was sent to it untaken.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// What the endpoints work with.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Gathered by `/metrics`.
    pub registry: Registry,
    /// Brought up to date before that.
    pub metrics: Arc<Metrics>,
    /// Sampled here once a minute.
    pub trend: Arc<Trend>,
    /// What the workers claim.
    pub ledgers: Arc<Ledgers>,
    /// Asked for slabs and connections.
    pub workers: Workers,
    /// The policy in force.
    pub policy: Arc<PolicySwitch>,
    /// For `/api/reload`.
    pub reloader: Arc<Reloader>,
    /// For `/api/upstreams`.
    pub shared: Arc<Shared>,
    /// For `/readyz` and `/api/drain`.
    pub life: Life,
    /// The names that requests may come by, besides `localhost` and addresses.
    pub hosts: Arc<[AdminHost]>,
    /// Held by the one request that asks the kernel for sockets.
    pub asking_for_sockets: Arc<tokio::sync::Mutex<()>>,
    /// For `/snapshot` and `/debug/pprof/heap`.
    pub dumps: Dumps,
}

/// Starts the admin thread. It ends with the workers, or when they are gone that `presence` tells of.
///
/// # Errors
/// When the system has no thread or no event queue to give.
pub fn start(
    listener: TcpListener,
    state: AdminState,
    presence: watch::Receiver<Presence>,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("admin".into())
        .spawn(move || runtime.block_on(serve(listener, state, presence)))
}

async fn serve(listener: TcpListener, state: AdminState, presence: watch::Receiver<Presence>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin endpoints are not there");
            return;
        }
    };
    let (life, trend) = (state.life.clone(), Arc::clone(&state.trend));
    // A viewer who reads no more, or is no longer there, is not waited for.
    let listener = PresentListener::new(listener, presence.clone()).tap_io(|socket| {
        if let Err(error) = sockets::give_up_after(socket, CLIENT_PATIENCE) {
            tracing::debug!(%error, "an admin client is gone at once");
        }
    });
    let (entrance, viewers) = events::entrance();
    let endpoints = axum::serve(listener, routes::router(state.clone(), entrance));
    let endpoints = endpoints.with_graceful_shutdown(presence::gone(presence.clone()));
    let showing = async {
        tokio::select! {
            () = events::produce(viewers, state) => {}
            // Whoever watches sees the successor next.
            () = presence::gone(presence) => {}
        }
        // The workers have ended; the phase says so next.
        std::future::pending::<()>().await;
    };
    let mut ticks = interval(TREND_TICK);
    let sampling = async {
        loop {
            ticks.tick().await;
            trend.sample();
        }
    };
    // It answers until the workers have ended, so that a drain can be watched.
    tokio::select! {
        result = endpoints => {
            if let Err(error) = result {
                tracing::error!(%error, "the admin endpoints have ended");
            }
        }
        () = sampling => {}
        () = showing => {}
        () = life.entered(LifePhase::Ended) => {}
    }
}
