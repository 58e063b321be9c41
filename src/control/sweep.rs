//! What is done to all of a worker's connections and tunnels at once.

use std::collections::HashMap;
use std::time::Duration;

use crate::observe::labels::{CloseReason, HeadPolicy};
use crate::observe::memory;
use crate::worker::{Accepting, Order, Settings, TunnelRecord, WorkerContext};

/// How often idle tunnels are looked for. A deadline is exact to this, and no read has a timer of its own.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How long a peer may take to answer a Close that this proxy sent, in ticks.
const CLOSE_TICKS: u32 = 5;

/// The tunnels that are closed in one tick because their route or server is gone: a tenth of them, and a few at least. So
/// clients that connect again at once come as a rate, and not all together.
const WAVE: usize = 10;
const LEAST_OF_A_WAVE: usize = 8;

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
    let settings = worker.shared.settings.load();
    if worker.generation.replace(settings.generation) != settings.generation {
        reroute(worker, &settings);
    }
    close_idle_connections(worker, &settings);
    let mut leaving: usize = 0;
    worker.registry.for_each_tunnel(|tunnel| {
        let idle = worker.since(tunnel.active.get());
        let limit = tunnel.target.with_route(|route| route.idle_timeout);
        let limit = limit.map(|limit| u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1));
        match tunnel.mailbox.order() {
            None if leaves(tunnel).is_some() => leaving += 1,
            None if limit.is_some_and(|limit| idle >= limit) => {
                tunnel.active.set(now);
                tunnel.mailbox.give(Order::Close(CloseReason::Idle));
            }
            Some(Order::Close(reason)) if idle >= CLOSE_TICKS => tunnel.mailbox.give(Order::End(reason)),
            _ => {}
        }
    });
    if leaving > 0 {
        close_a_wave(worker, leaving.div_ceil(WAVE).max(LEAST_OF_A_WAVE), now);
    }
}

/// Why a tunnel has to go though both of its ends are well.
fn leaves(tunnel: &TunnelRecord) -> Option<CloseReason> {
    let (route_is_gone, follows_its_server) = tunnel.target.with_route(|route| {
        let upstream = route.upstream();
        let follows = upstream.is_some_and(|upstream| upstream.config.close_tunnels_of_gone_servers);
        (route.is_gone(), follows)
    });
    match route_is_gone {
        true => Some(CloseReason::RouteGone),
        false if follows_its_server && tunnel.target.is_server_gone() => Some(CloseReason::ServerGone),
        false => None,
    }
}

/// Closes the `most` oldest tunnels that have to go.
fn close_a_wave(worker: &WorkerContext, most: usize, now: u32) {
    let mut left = most;
    worker.registry.for_each_tunnel(|tunnel| {
        if left == 0 || tunnel.mailbox.order().is_some() {
            return;
        }
        if let Some(reason) = leaves(tunnel) {
            left -= 1;
            tunnel.active.set(now);
            tunnel.mailbox.give(Order::Close(reason));
        }
    });
}

/// Brings tunnels to the routes of a new config.
fn reroute(worker: &WorkerContext, settings: &Settings) {
    worker.slabs.set_pins_some(settings.routes.pin_some());
    worker.registry.for_each_tunnel(|tunnel| {
        tunnel.target.follow(&settings.routes);
        let policy = tunnel.target.head_policy();
        if policy.unwrap_or_else(|| worker.slabs.policy()) == HeadPolicy::Copy {
            tunnel.release();
        }
    });
}

/// Closes connections that wait for a request for too long, or whose server is passed over or gone.
fn close_idle_connections(worker: &WorkerContext, settings: &Settings) {
    if worker.pools.is_empty() {
        return;
    }
    let mut epochs = HashMap::new();
    for upstream in settings.routes.upstreams() {
        let set = upstream.servers();
        epochs.extend(set.servers.iter().map(|server| (server.state.id, server.state.epoch())));
    }
    worker
        .pools
        .sweep(settings.generation, |server| epochs.get(&server).copied());
}

/// Begins the drain: HTTP connections end after the current request, tunnels are closed with 1001. Those that are still to
/// come of an upgrade under way close themselves.
pub(super) fn drain(worker: &WorkerContext) {
    worker.departures.drain();
    worker.accepting.send_if_modified(|accepting| {
        let ours = *accepting != Accepting::Never;
        if ours {
            *accepting = Accepting::Last;
        }
        ours
    });
    worker.pools.close();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::route::Route;
    use crate::worker::{Shared, TunnelTarget};

    #[tokio::test]
    async fn tunnels_whose_route_is_gone_are_closed_in_waves_and_the_others_stay() {
        let worker = WorkerContext::new(0, 1, HeadPolicy::Copy, Arc::new(Shared::for_test(1, 1)));
        let tunnel = |is_gone: bool| {
            let connection = worker.registry.register("192.0.2.1:1".parse().expect("an address"));
            let target = TunnelTarget::for_test("/");
            if is_gone {
                target.with_route(Route::set_gone);
            }
            connection.into_tunnel(target)
        };
        let going: Vec<_> = (0..200).map(|_| tunnel(true)).collect();
        let staying: Vec<_> = (0..5).map(|_| tunnel(false)).collect();
        let closing = || {
            let mut count = 0;
            worker.registry.for_each_tunnel(|tunnel| {
                count += usize::from(tunnel.mailbox.order().is_some());
            });
            count
        };
        let mut waves = Vec::new();
        while closing() < going.len() {
            let before = closing();
            sweep(&worker);
            waves.push(closing() - before);
        }
        assert_eq!(waves[..3], [20, 18, 17], "a tenth of those that are left: {waves:?}");
        assert!(
            waves.iter().rev().skip(1).all(|wave| *wave >= LEAST_OF_A_WAVE),
            "{waves:?}"
        );
        assert!(staying.iter().all(|tunnel| tunnel.mailbox.order().is_none()));
    }
}
