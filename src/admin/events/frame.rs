//! A frame as text: one event `picture` with a line of JSON.
//!
//! Connections are arrays, because there may be ten thousand: a row is `[id, worker, peer, phase, since, path, active,
//! to_upstream_bytes, to_upstream_frames, to_downstream_bytes, to_downstream_frames, heads, last_slice]` with a head as
//! `[side, slab, bytes, slice_bytes]`; traffic alone is `[id, active, ...the four counters]`. `since` and `active` (when
//! bytes last moved) are Unix times in seconds.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use headpin_slab::SlabReport;
use serde::Serialize;
use serde_json::{Value, json};

use super::picture::{Changes, Picture};
use crate::admin::{AdminState, memory};
use crate::control::LifePhase;
use crate::observe::census::ConnectionRow;
use crate::observe::labels::{HandedKind, HeadPolicy};
use crate::observe::metrics::Metrics;

/// How long a client of `EventSource` waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 1000;

/// What each frame has in full.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) unix_seconds: f64,
    version: &'static str,
    phase: &'static str,
    head_policy: HeadPolicy,
    /// What this process has taken over from another, if it has.
    taken_over: Option<TakenOver>,
    /// As `/api/memory`.
    memory: Value,
    pinned_slabs: usize,
    pinned_bytes: usize,
    /// Bytes of the heads that pin them.
    pinning_head_bytes: usize,
    /// Heads that are held, pinning or not.
    heads: usize,
    spares: usize,
}

/// What a process has taken over from its predecessor.
#[derive(Debug, Serialize)]
struct TakenOver {
    tunnels: i64,
    connections: i64,
    seconds: f64,
    longest_pause_seconds: f64,
}

impl TakenOver {
    fn of(metrics: &Metrics) -> Option<Self> {
        let seconds = metrics.handover_seconds.get();
        (seconds > 0.0).then(|| Self {
            tunnels: metrics.handover_taken[HandedKind::Tunnel].get(),
            connections: metrics.handover_taken[HandedKind::Connection].get(),
            seconds,
            longest_pause_seconds: metrics.handover_longest_pause_seconds.get(),
        })
    }
}

impl Figures {
    pub(super) async fn gather(state: &AdminState, picture: &Picture) -> Self {
        let pinned = || picture.slabs.values().filter(|slab| slab.is_pinned());
        Self {
            unix_seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            version: env!("CARGO_PKG_VERSION"),
            phase: match state.life.phase() {
                LifePhase::Running => "running",
                LifePhase::Draining => "draining",
                LifePhase::Ending | LifePhase::Ended => "ending",
            },
            head_policy: state.policy.get().await,
            taken_over: TakenOver::of(&state.metrics),
            memory: memory::report(state, None),
            pinned_slabs: pinned().count(),
            pinned_bytes: pinned().map(|slab| slab.capacity_bytes).sum(),
            pinning_head_bytes: pinned().map(|slab| slab.head_bytes).sum(),
            heads: picture.slabs.values().map(|slab| slab.heads).sum(),
            spares: picture.spares,
        }
    }

    /// The event with `changes`, and with those of upstreams.
    pub(super) fn frame(&self, picture: &Picture, changes: &Changes, upstreams: &Value) -> Bytes {
        let Picture { slabs, connections, .. } = picture;
        let set = changes.connections.iter().filter_map(|id| connections.get(id));
        let set: Vec<Value> = set.map(|each| self.row(each)).collect();
        let moved = changes.moved.iter().filter_map(|id| connections.get(id));
        let moved: Vec<Value> = moved.map(|each| self.traffic(each)).collect();
        let slabs = changes.slabs.iter().filter_map(|id| slabs.get(id));
        let slabs: Vec<Value> = slabs.map(|slab| self.slab(slab)).collect();
        let text = json!({
            "whole": changes.is_whole,
            "figures": self,
            "slabs": { "set": slabs, "gone": changes.slabs_gone },
            "connections": { "set": set, "moved": moved, "gone": changes.connections_gone },
            "upstreams": upstreams,
        });
        Bytes::from(format!("event: picture\nretry: {RETRY_MS}\ndata: {text}\n\n"))
    }

    fn slab(&self, slab: &SlabReport) -> Value {
        json!({
            "id": slab.id,
            "class": slab.class,
            "worker": slab.worker,
            "state": slab.state,
            "capacity_bytes": slab.capacity_bytes,
            "carved_bytes": slab.carved_bytes,
            "since": self.since(slab.age_seconds),
            "slices": slab.slices,
            "heads": slab.heads,
            "head_bytes": slab.head_bytes,
        })
    }

    fn row(&self, connection: &ConnectionRow) -> Value {
        let heads = connection.heads();
        let heads: Vec<Value> = heads
            .map(|(side, head)| json!([side, head.slice.slab, head.bytes, head.slice.len]))
            .collect();
        let [up, down] = connection.relayed;
        json!([
            connection.id,
            connection.worker,
            connection.peer,
            connection.phase,
            self.since(connection.age_seconds),
            connection.path,
            self.since(connection.idle_seconds.into()),
            up.bytes,
            up.frames,
            down.bytes,
            down.frames,
            heads,
            connection.last_slice.map(|place| place.slab),
        ])
    }

    fn traffic(&self, connection: &ConnectionRow) -> Value {
        let [up, down] = connection.relayed;
        json!([
            connection.id,
            self.since(connection.idle_seconds.into()),
            up.bytes,
            up.frames,
            down.bytes,
            down.frames,
        ])
    }

    /// The Unix time, in whole seconds, of what was so many seconds ago.
    fn since(&self, seconds: f64) -> i64 {
        (self.unix_seconds - seconds).round() as i64
    }
}
