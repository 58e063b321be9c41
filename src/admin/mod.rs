//! The admin endpoints, on a listener and a thread of their own, so that a scrape never waits for traffic.
//!
//! | endpoint | what |
//! | --- | --- |
//! | `GET /` | this list |
//! | `GET /metrics` | every series, for Prometheus |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while it accepts connections, 503 once it drains |
//! | `GET /api/slabs` | every live slab: class, worker, age, fill, who pins it |
//! | `GET /api/connections` | every connection |
//! | `GET /api/memory` | the allocator's numbers, the resident set, the usage trend |
//! | `GET /snapshot` | a V8 heap snapshot, for Chrome's DevTools and memlab |
//! | `GET /debug/pprof/heap` | where live memory was allocated, for pprof; off unless the allocator profiles |
//! | `GET`, `PUT /api/head_policy` | the policy in force; `{"head_policy": "copy"}` |
//! | `POST /api/reload` | reads the config file again |
//! | `POST /api/drain` | begins the drain |

mod dump;
mod heap_profile;
mod inspect;
mod probes;
mod routes;
mod snapshot;
mod steer;

pub use dump::Dumps;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus::Registry;
use tokio::runtime::Builder;
use tokio::time::interval;

use crate::memory::Trend;
use crate::metrics::Metrics;
use crate::proxy::{Life, LifePhase, PolicySwitch, Reloader, Workers};

/// How often memory is sampled for the trend, traffic or not.
const TREND_TICK: Duration = Duration::from_secs(60);

/// What the endpoints work with.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Gathered by `/metrics`.
    pub registry: Registry,
    /// Brought up to date before that.
    pub metrics: Arc<Metrics>,
    /// Sampled here once a minute.
    pub trend: Arc<Trend>,
    /// Asked for slabs and connections.
    pub workers: Workers,
    /// The policy in force.
    pub policy: Arc<PolicySwitch>,
    /// For `/api/reload`.
    pub reloader: Arc<Reloader>,
    /// For `/readyz` and `/api/drain`.
    pub life: Life,
    /// For `/snapshot` and `/debug/pprof/heap`.
    pub dumps: Dumps,
}

/// Starts the admin thread.
///
/// # Errors
/// When the system has no thread or no event queue to give.
pub fn start(listener: TcpListener, state: AdminState) -> io::Result<thread::JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("admin".into())
        .spawn(move || runtime.block_on(serve(listener, state)))
}

async fn serve(listener: TcpListener, state: AdminState) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin endpoints are not there");
            return;
        }
    };
    let (life, trend) = (state.life.clone(), Arc::clone(&state.trend));
    let endpoints = axum::serve(listener, routes::router(state));
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
        () = life.entered(LifePhase::Ended) => {}
    }
}
