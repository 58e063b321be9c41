//! The graph of a census: what DevTools is to show. `docs/heapsnapshot.md` draws it.

use std::collections::HashMap;

use headpin_slab::{SlabId, SlabReport, SlabState};

use super::graph::{EdgeKind, Graph, MOST, NodeIndex, NodeKind};
use super::ids::{Giving, Ids, Key, ROOT};
use super::overhead::{Overhead, Part};
use crate::observe::census::{WorkerRest, WorkerRows};
use crate::observe::labels::{HeadPolicy, SlabClass};

/// Up to so many connections each of them has properties; above, only the edge that leads to it names serial and peer.
pub const DETAILED: usize = 10_000;

/// What a snapshot is made from.
#[derive(Debug)]
pub struct Census {
    /// What each worker listed.
    pub workers: Vec<WorkerRows>,
    /// The policy in force.
    pub policy: HeadPolicy,
    /// The rest of the process, read before the rows took memory.
    pub overhead: Overhead,
    /// Whether connections have properties.
    pub details: bool,
}

/// What did not fit together in a census.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mismatches {
    /// Slabs that nothing of the census keeps, though it was taken in one poll: a fault of this program.
    pub unexplained: usize,
    /// The same where it took several polls: their holders came after they were listed.
    pub late: usize,
    /// Heads whose slab was gone when the slabs were listed.
    pub gone: usize,
}

/// Builds the graph; returns it with the ids for the next one.
pub(super) fn build(census: Census, ids: &Ids) -> (Graph, Ids, Mismatches) {
    let Census {
        workers,
        policy,
        overhead,
        details,
    } = census;
    let mut builder = Builder {
        graph: Graph::default(),
        ids: Giving::new(ids),
        details,
        mismatches: Mismatches::default(),
        stray: Vec::new(),
        label: String::new(),
    };
    let count = workers.len();
    let connections = workers.iter().map(|worker| worker.connections.len()).sum();
    builder.reserve(&workers);
    let root = builder.root();
    let process = builder.object(root, EdgeKind::Property, "process", "Process", Key::Process, 0);
    for worker in workers {
        builder.worker(root, worker);
    }
    builder.overhead(root, &overhead);

    let graph = &mut builder.graph;
    graph.say(process, "name", env!("CARGO_PKG_NAME"));
    graph.say(process, "version", env!("CARGO_PKG_VERSION"));
    graph.say(process, "head_policy", policy.as_str());
    graph.count(process, "workers", number(count));
    graph.count(process, "connections", number(connections));
    graph.count(process, "accounted_bytes", graph.total());
    if let Some(resident) = overhead.resident {
        graph.count(process, "resident_bytes", resident);
    }
    graph.finish();
    (builder.graph, builder.ids.finish(), builder.mismatches)
}

/// A graph in the making.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph,
    pub(super) ids: Giving<'a>,
    pub(super) details: bool,
    pub(super) mismatches: Mismatches,
    /// Slabs that are to hang under the overhead, so that the file stays whole.
    stray: Vec<NodeIndex>,
    /// Scratch for names of edges.
    pub(super) label: String,
}

/// The slabs of one worker, by class and serial.
pub(super) type Slabs = HashMap<SlabId, KnownSlab>;

pub(super) struct KnownSlab {
    pub(super) node: NodeIndex,
    /// Something of the census keeps it.
    pub(super) explained: bool,
}

impl Builder<'_> {
    /// Makes room for everything: a vector that grows by doubling would take up to three times as much meanwhile.
    fn reserve(&mut self, workers: &[WorkerRows]) {
        /// Upper bounds of properties and of their values.
        const OF_CONNECTION: usize = 20;
        const OF_SLAB: usize = 8;
        /// For what there is one of a worker or of the process.
        const FEW: usize = 64;
        let (mut nodes, mut edges) = (FEW, FEW);
        for worker in workers {
            let slabs = worker.rest.slabs.len() + worker.rest.upstream_slices.len();
            let spares: usize = worker.rest.pools.iter().map(|pool| pool.spares).sum();
            nodes += (slabs + spares) * (1 + OF_SLAB) + FEW;
            edges += (slabs + spares) * (2 + OF_SLAB) + FEW;
            for row in &worker.connections {
                let heads = [row.head, row.upstream_head].iter().flatten().count();
                let slices = heads + usize::from(row.last_slice.is_some());
                let own = 2 + 2 * usize::from(row.is_tunnel()) + heads + slices;
                let properties = if self.details { OF_CONNECTION } else { 0 };
                nodes += own + properties;
                edges += own + slices + properties;
            }
        }
        self.graph.reserve(nodes, edges);
    }

    fn root(&mut self) -> NodeIndex {
        let name = self.graph.text("");
        self.graph.node(NodeKind::Synthetic, name, ROOT, 0)
    }

    pub(super) fn object(
        &mut self,
        from: NodeIndex,
        kind: EdgeKind,
        edge: &str,
        name: &str,
        key: Key,
        size: usize,
    ) -> NodeIndex {
        let id = self.ids.of(key);
        self.place(from, kind, edge, NodeKind::Object, name, id, size)
    }

    #[expect(clippy::too_many_arguments, reason = "a node and the edge that leads to it, once")]
    pub(super) fn place(
        &mut self,
        from: NodeIndex,
        kind: EdgeKind,
        edge: &str,
        node_kind: NodeKind,
        name: &str,
        id: u32,
        size: usize,
    ) -> NodeIndex {
        let (edge, name) = (self.graph.text(edge), self.graph.text(name));
        let node = self.graph.node(node_kind, name, id, number(size));
        self.graph.edge(from, kind, edge, node);
        node
    }

    fn worker(&mut self, root: NodeIndex, rows: WorkerRows) {
        let WorkerRows {
            index,
            connections,
            rest,
            pages,
        } = rows;
        let sizes = rest.sizes;
        let edge = format!("worker {index}");
        let worker = self.object(
            root,
            EdgeKind::Property,
            &edge,
            "Worker",
            Key::Worker(index),
            sizes.worker,
        );
        let size = sizes.registry + sizes.registry_entry * connections.len();
        let registry = self.object(
            worker,
            EdgeKind::Internal,
            "connections",
            "ConnectionRegistry",
            Key::Registry(index),
            size,
        );
        let mut slabs = self.pools(worker, index, &rest);
        for connection in &connections {
            self.connection(registry, connection, &sizes, &mut slabs);
        }
        self.upstreams(worker, index, &rest, &mut slabs);
        for slab in slabs.into_values().filter(|slab| !slab.explained) {
            if pages == 1 {
                self.mismatches.unexplained += 1;
            } else {
                self.mismatches.late += 1;
            }
            self.stray.push(slab.node);
        }
    }

    fn pools(&mut self, worker: NodeIndex, index: usize, rest: &WorkerRest) -> Slabs {
        let mut slabs = Slabs::with_capacity(rest.slabs.len());
        for row in &rest.pools {
            let class = row.class;
            let edge = format!("{class}_pool");
            let key = Key::Pool(index, class);
            let pool = self.object(worker, EdgeKind::Internal, &edge, "SlabPool", key, rest.sizes.pool);
            self.graph.say(pool, "class", class.as_str());
            for slab in rest.slabs.iter().filter(|slab| slab.class == class) {
                let known = self.slab(pool, slab);
                slabs.insert(slab.id, known);
            }
            for nth in 0..row.spares {
                let (edge, id) = (format!("spare {nth}"), self.ids.of(Key::Spare(index, class, nth)));
                let kind = NodeKind::Native;
                let node = self.place(pool, EdgeKind::Property, &edge, kind, name_of(class), id, row.capacity);
                self.graph.say(node, "class", class.as_str());
                self.graph.say(node, "state", "spare");
            }
        }
        slabs
    }

    fn slab(&mut self, pool: NodeIndex, slab: &SlabReport) -> KnownSlab {
        let (kind, edge, state) = match slab.state {
            SlabState::Current => (EdgeKind::Property, "current".to_owned(), "current"),
            SlabState::Retired => (EdgeKind::Weak, format!("retired {}", slab.id.serial), "retired"),
        };
        let (id, name) = (self.ids.of(Key::Slab(slab.id)), name_of(slab.class));
        let node = self.place(pool, kind, &edge, NodeKind::Native, name, id, slab.capacity_bytes);
        let graph = &mut self.graph;
        graph.say(node, "class", slab.class.as_str());
        graph.count(node, "serial", slab.id.serial);
        graph.say(node, "state", state);
        graph.count(node, "carved_bytes", number(slab.carved_bytes));
        graph.count(node, "heads", number(slab.heads));
        graph.count(node, "head_bytes", number(slab.head_bytes));
        graph.count(node, "age_seconds", slab.age_seconds as u64);
        KnownSlab {
            node,
            explained: slab.state == SlabState::Current,
        }
    }

    /// What no object of the census stands for.
    fn overhead(&mut self, root: NodeIndex, overhead: &Overhead) {
        let accounted = self.graph.total();
        let id = self.ids.of(Key::Overhead);
        let kind = NodeKind::Synthetic;
        let node = self.place(root, EdgeKind::Property, "overhead", kind, "(process overhead)", id, 0);
        let mut element = 0;
        for (part, bytes) in overhead.parts(accounted) {
            let kind = match part {
                Part::Program => NodeKind::Code,
                _ => NodeKind::Hidden,
            };
            let name = self.graph.text(part.name());
            let mut left = bytes;
            for nth in 0.. {
                let id = self.ids.of(Key::Part(part, nth));
                let piece = self.graph.node(kind, name, id, left.min(MOST));
                self.graph.element(node, element, piece);
                element += 1;
                left -= left.min(MOST);
                if left == 0 {
                    break;
                }
            }
        }
        for (nth, stray) in std::mem::take(&mut self.stray).into_iter().enumerate() {
            let edge = self.graph.text(&format!("unexplained {nth}"));
            self.graph.edge(node, EdgeKind::Property, edge, stray);
        }
    }
}

/// Two capacities are two constructors: under one name nobody would see which class grows.
fn name_of(class: SlabClass) -> &'static str {
    match class {
        SlabClass::Tls => "Slab",
        SlabClass::Tcp => "TcpSlab",
    }
}

pub(super) fn number(bytes: usize) -> u64 {
    bytes as u64
}
