//! Looks after upstreams, beside the traffic: checks their servers, and asks for the addresses of their names.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::upstream::{Upstream, check_servers, resolve_names};

/// Looks after the upstreams of the config in force, on a thread that there is only if one of them asks for it.
#[derive(Debug, Default)]
pub struct UpstreamMonitor {
    /// Ends the thread when it is dropped.
    running: Mutex<Option<DropGuard>>,
}

impl UpstreamMonitor {
    /// Looks after `upstreams` from now on, and no longer after those of before.
    pub fn follow<'u>(&self, upstreams: impl Iterator<Item = &'u Arc<Upstream>>) {
        let needy = |upstream: &&Arc<Upstream>| {
            let config = &upstream.config;
            config.health.is_some() || config.servers.iter().any(|server| server.url.name().is_some())
        };
        let needy: Vec<_> = upstreams.filter(needy).cloned().collect();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = None;
        if needy.is_empty() {
            return;
        }
        match start(needy) {
            Ok(guard) => *running = Some(guard),
            Err(error) => {
                tracing::error!(%error, "upstream servers are not checked, and their names not resolved again")
            }
        }
    }
}

fn start(upstreams: Vec<Arc<Upstream>>) -> io::Result<DropGuard> {
    let end = CancellationToken::new();
    let ended = end.clone();
    let guard = end.drop_guard();
    thread::Builder::new().name("upstreams".into()).spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(look_after(upstreams, ended)),
            Err(error) => tracing::error!(%error, "upstream servers are not looked after"),
        }
    })?;
    Ok(guard)
}

async fn look_after(upstreams: Vec<Arc<Upstream>>, ended: CancellationToken) {
    let tasks = TaskTracker::new();
    for upstream in upstreams {
        tasks.spawn_local(resolve_names(Arc::clone(&upstream)));
        tasks.spawn_local(check_servers(upstream, tasks.clone()));
    }
    // What is under way ends with the runtime.
    ended.cancelled().await;
}
