//! What a worker tells for a heap snapshot, and how large its objects are.

use std::rc::Rc;

use headpin_ledger as ledger;
use headpin_slab::{HeldHead, SlabPool, SlabSlice};
use headpin_tls::Session;

use super::head_io::IoState;
use super::registry::{ConnectionRecord, Phase, Registry};
use super::relay::Relay;
use super::tunnel::Tunnel;
use super::worker::WorkerContext;
use crate::labels::{MemoryPart, SlabClass};
use crate::snapshot::{ConnectionRow, HeadRow, PoolRow, Sizes, TlsRow, WorkerRest};

/// Connections that are told in one poll: a fraction of a millisecond in which the worker serves nobody.
pub(crate) const PAGE: usize = 1024;

/// An answer to `Command::Rows`.
#[derive(Debug)]
pub struct RowsPage {
    /// Connections, by serial.
    pub connections: Vec<ConnectionRow>,
    /// With the last of them: everything else.
    pub rest: Option<WorkerRest>,
}

/// At most `most` connections with an id above `after`.
pub(super) fn page(worker: &WorkerContext, after: u64, most: usize, details: bool) -> RowsPage {
    let mut connections = Vec::with_capacity(most.min(worker.registry.len()));
    let sizes = sizes(worker);
    let more = worker
        .registry
        .page(after, most, |record| connections.push(row(record, &sizes, details)));
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

fn row(record: &ConnectionRecord, sizes: &Sizes, details: bool) -> ConnectionRow {
    let phase = record.phase.get();
    let heads = record.heads.borrow();
    let head = |held: Option<&HeldHead>| {
        held.map(|head| HeadRow {
            slice: head.slice(),
            bytes: head.bytes().len(),
        })
    };
    let path = record.path();
    ConnectionRow {
        serial: record.id,
        peer: record.peer,
        state: match phase {
            Phase::Handshake => "handshake",
            Phase::Http => "http",
            Phase::Tunnel if record.order().is_some() => "closing",
            Phase::Tunnel => "open",
        },
        is_tunnel: phase == Phase::Tunnel,
        age_seconds: u32::try_from(record.since.elapsed().as_secs()).unwrap_or(u32::MAX),
        tls: record.tls.get().and_then(|(version, suite)| {
            Some(TlsRow {
                version: version.as_str()?,
                suite: suite.as_str()?,
            })
        }),
        path: if details { path.into() } else { Box::default() },
        own_bytes: u32::try_from(beyond(sizes, record).max(path.len())).unwrap_or(u32::MAX),
        tls_bytes: record.tls_buffered.get(),
        forwarded: [record.to_upstream.bytes.get(), record.to_downstream.bytes.get()],
        pending: [record.pending[0].get(), record.pending[1].get()],
        head: head(heads.as_ref().and_then(|heads| heads.downstream.as_ref())),
        upstream_head: head(heads.as_ref().and_then(|heads| heads.upstream.as_ref())),
        last_slice: record.last_slice(),
    }
}

/// What was measured to be taken for a connection and is in none of its `sizes`: the runtime's share of its task and of
/// its sockets, requests. Nothing is measured without jemalloc.
fn beyond(sizes: &Sizes, record: &ConnectionRecord) -> usize {
    let known = match record.phase.get() {
        Phase::Tunnel => sizes.tunnel + 2 * sizes.relay,
        Phase::Handshake | Phase::Http => sizes.http,
    };
    let heads = record.heads.borrow();
    let heads = heads.as_ref().map_or(0, |heads| {
        usize::from(heads.downstream.is_some()) + usize::from(heads.upstream.is_some())
    });
    let held = heads * (sizes.head + sizes.slice);
    record.claimed().saturating_sub(known + held + sizes.registry_entry)
}

/// What a TLS session of this worker takes with its keys, as measured: the mean.
fn session_bytes(worker: &WorkerContext) -> usize {
    let claimed = ledger::claimed_here(MemoryPart::Tls);
    let mean = claimed / (worker.registry.len() as u64).max(1);
    usize::try_from(mean).unwrap_or(0).max(size_of::<Session>())
}

/// The one place that says how large things are.
fn sizes(worker: &WorkerContext) -> Sizes {
    /// A counted reference's two counts.
    const COUNTS: usize = 2 * size_of::<usize>();
    /// A B-tree's entry and its share of the node, which is about 6 of 11 full when keys only grow.
    const ENTRY: usize = (size_of::<u64>() + size_of::<Rc<ConnectionRecord>>()) * 11 / 6;
    let record = size_of::<ConnectionRecord>() + COUNTS;
    let io = size_of::<IoState>() + COUNTS;
    let http_task = worker.http_task_bytes.get().saturating_sub(size_of::<Session>());
    Sizes {
        worker: size_of::<WorkerContext>() + COUNTS + worker.tls_buffers.memory(),
        registry: size_of::<Registry>() + COUNTS,
        registry_entry: ENTRY,
        pool: size_of::<SlabPool>(),
        tunnel: Tunnel::OWN_BYTES + record,
        http: http_task + record + io,
        tls: session_bytes(worker),
        relay: size_of::<Relay>(),
        head: size_of::<HeldHead>() - size_of::<SlabSlice>(),
        slice: size_of::<SlabSlice>(),
        upstream: io,
    }
}
