//! The rows of a worker's slabs, connections and tunnels, and how large its objects are.

use std::rc::Rc;

use headpin_ledger as ledger;
use headpin_slab::{HeldHead, SlabPool, SlabSlice};
use headpin_tls::{Server, Session, SlabStream};
use tokio::net::TcpStream;

use crate::http::IoState;
use crate::observe::census::{ConnectionRow, HeadRow, Phase, PoolRow, Sizes, TlsRow, TrafficRow, WorkerRest};
use crate::observe::labels::{Direction, MemoryPart, SlabClass};
use crate::tunnel::{Relay, Tunnel};
use crate::worker::{Admitted, ConnectionRecord, Identity, Listed, Registry, TunnelRecord, WorkerContext};

/// Connections and tunnels that are listed in one poll: a fraction of a millisecond in which the worker serves nobody.
pub(super) const PAGE: usize = 1024;

/// An answer to `Command::Rows`.
#[derive(Debug)]
pub struct RowsPage {
    /// Connections and tunnels, by id.
    pub connections: Vec<ConnectionRow>,
    /// With the last of them: everything else.
    pub rest: Option<WorkerRest>,
}

/// At most `most` connections and tunnels with an id above `after`.
pub(super) fn page(worker: &WorkerContext, after: u64, most: usize, paths: bool) -> RowsPage {
    let mut connections = Vec::with_capacity(most.min(worker.registry.len()));
    let sizes = sizes(worker);
    let more = worker.registry.page(after, most, |listed| {
        connections.push(match listed {
            Listed::Connection(record) => connection(worker, record, &sizes),
            Listed::Tunnel(record) => tunnel(worker, record, &sizes, paths),
        });
    });
    let rest = (!more).then(|| WorkerRest {
        slabs: worker.slabs.census(),
        pools: SlabClass::ALL.map(|class| pool(worker, class)).into(),
        upstream_slices: worker.slabs.upstream_slices(),
        sizes,
    });
    RowsPage { connections, rest }
}

fn pool(worker: &WorkerContext, class: SlabClass) -> PoolRow {
    PoolRow {
        class,
        capacity: worker.slabs.capacity(class),
        spares: worker.slabs.spares_of(class),
    }
}

/// What every row has; the rest is that of a connection in its handshake.
fn row(worker: &WorkerContext, identity: &Identity) -> ConnectionRow {
    ConnectionRow {
        id: identity.id,
        worker: worker.index,
        peer: identity.peer,
        phase: Phase::Handshake,
        is_closing: false,
        age_seconds: identity.since.elapsed().as_secs_f64(),
        idle_seconds: 0,
        tls: identity.tls.get().and_then(|(version, suite)| {
            Some(TlsRow {
                version: version.as_str()?,
                suite: suite.as_str()?,
            })
        }),
        path: Box::default(),
        own_bytes: 0,
        tls_bytes: 0,
        relayed: [TrafficRow::default(); 2],
        pending: [0; 2],
        head: None,
        upstream_head: None,
        last_slice: None,
    }
}

fn connection(worker: &WorkerContext, record: &ConnectionRecord, sizes: &Sizes) -> ConnectionRow {
    ConnectionRow {
        phase: if record.is_http() {
            Phase::Http
        } else {
            Phase::Handshake
        },
        own_bytes: small(beyond(sizes, sizes.http, record.claimed(), 0)),
        last_slice: record.last_slice(),
        ..row(worker, &record.identity)
    }
}

fn tunnel(worker: &WorkerContext, record: &TunnelRecord, sizes: &Sizes, paths: bool) -> ConnectionRow {
    let heads = record.heads.borrow();
    let heads = heads.as_deref();
    let head = |held: &HeldHead| HeadRow {
        slice: held.slice(),
        bytes: held.bytes().len(),
    };
    let known = sizes.tunnel + 2 * sizes.relay;
    let own = beyond(sizes, known, record.claimed(), heads.map_or(0, |heads| heads.count()));
    ConnectionRow {
        phase: Phase::Tunnel,
        is_closing: record.mailbox.order().is_some(),
        idle_seconds: worker.since(record.active.get()),
        path: if paths {
            record.target.path.clone()
        } else {
            Box::default()
        },
        own_bytes: small(own.max(record.target.path.len())),
        tls_bytes: record.tls_buffered.get(),
        relayed: [Direction::ToUpstream, Direction::ToDownstream].map(|direction| {
            let traffic = record.traffic(direction);
            TrafficRow {
                bytes: traffic.bytes.get(),
                frames: traffic.frames.get(),
            }
        }),
        pending: [record.pending[0].get(), record.pending[1].get()],
        head: heads.and_then(|heads| heads.downstream.as_ref()).map(head),
        upstream_head: heads.and_then(|heads| heads.upstream.as_ref()).map(head),
        ..row(worker, &record.identity)
    }
}

fn small(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What was measured to be taken, in `claimed`, and is neither in the `known` sizes nor of `heads` nor the registry's: the
/// runtime's share of a task and of its sockets, requests. Nothing is measured without jemalloc.
fn beyond(sizes: &Sizes, known: usize, claimed: usize, heads: usize) -> usize {
    let held = heads * (sizes.head + sizes.slice);
    claimed.saturating_sub(known + held + sizes.registry_entry)
}

/// What a TLS session of this worker takes with its keys, as measured: the mean.
fn session_bytes(worker: &WorkerContext) -> usize {
    let claimed = ledger::claimed_here(MemoryPart::Tls);
    let mean = claimed / (worker.registry.len() as u64).max(1);
    usize::try_from(mean).unwrap_or(0).max(size_of::<Session<Server>>())
}

/// The one place that says how large things are.
fn sizes(worker: &WorkerContext) -> Sizes {
    /// A counted reference's two counts.
    const COUNTS: usize = 2 * size_of::<usize>();
    /// A B-tree's entry and its share of the node, which is about 6 of 11 full when keys only grow.
    const ENTRY: usize = (size_of::<u64>() + size_of::<Rc<TunnelRecord>>()) * 11 / 6;
    let record = size_of::<ConnectionRecord>() + COUNTS;
    let tunnel_record = size_of::<TunnelRecord>() + COUNTS;
    let io = size_of::<IoState>() + COUNTS;
    let http_task = worker
        .http_task_bytes
        .get()
        .saturating_sub(size_of::<Session<Server>>());
    Sizes {
        worker: size_of::<WorkerContext>() + COUNTS + worker.tls_buffers.memory(),
        registry: size_of::<Registry>() + COUNTS,
        registry_entry: ENTRY,
        pool: size_of::<SlabPool>(),
        tunnel: Tunnel::<Admitted<SlabStream<TcpStream>>>::OWN_BYTES + tunnel_record,
        http: http_task + record + io,
        tls: session_bytes(worker),
        relay: size_of::<Relay>(),
        head: size_of::<HeldHead>() - size_of::<SlabSlice>(),
        slice: size_of::<SlabSlice>(),
        upstream: io,
    }
}
