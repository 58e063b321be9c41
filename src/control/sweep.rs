//! What is done to all of a worker's connections and tunnels at once.

use std::time::Duration;

use crate::observe::labels::{CloseReason, HeadPolicy};
use crate::observe::memory;
use crate::worker::{Order, WorkerContext};

/// How often idle tunnels are looked for. A deadline is exact to this, and no read has a timer of its own.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How long a peer may take to answer a Close that this proxy sent, in ticks.
const CLOSE_TICKS: u32 = 5;

/// What becomes of heads from now on; returns how many were let go.
pub(super) fn set_policy(worker: &WorkerContext, policy: HeadPolicy) -> usize {
    worker.slabs.set_policy(policy);
    match policy {
        HeadPolicy::Copy => worker.registry.release_heads(),
        HeadPolicy::Pin => 0,
    }
}

/// Looks after tunnels where nothing moves, and slabs that nothing is in; to be called every [`TICK`].
pub(super) fn sweep(worker: &WorkerContext) {
    let now = worker.advance();
    worker.slabs.sweep();
    if worker.registry.burst_is_over() {
        // What the thread's cache holds is of its size.
        memory::flush_thread_cache();
    }
    let idle_timeout = worker.shared.settings.load().config.tunnel.idle_timeout;
    let limit = idle_timeout.map(|limit| u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1));
    worker.registry.for_each_tunnel(|tunnel| {
        let idle = now - tunnel.active.get();
        match tunnel.mailbox.order() {
            None if limit.is_some_and(|limit| idle >= limit) => {
                tunnel.active.set(now);
                tunnel.mailbox.give(Order::Close(CloseReason::Idle));
            }
            Some(Order::Close(reason)) if idle >= CLOSE_TICKS => tunnel.mailbox.give(Order::End(reason)),
            _ => {}
        }
    });
}

/// Begins the drain: HTTP connections end after the current request, tunnels are closed with 1001. Those that are still to
/// come of an upgrade under way close themselves.
pub(super) fn drain(worker: &WorkerContext) {
    worker.draining.cancel();
    worker.tracker.close();
    worker.registry.for_each_tunnel(|tunnel| {
        tunnel.active.set(worker.tick());
        tunnel.mailbox.give(Order::Close(CloseReason::Drain));
    });
}

/// Ends what is still open when the grace is over; returns how many connections that are.
pub(super) fn abandon(worker: &WorkerContext) -> usize {
    worker
        .registry
        .for_each_tunnel(|tunnel| tunnel.mailbox.give(Order::End(CloseReason::Abandoned)));
    worker.registry.len()
}
