//! Connections in the graph: what each holds, down to the slabs.

use std::fmt::Write as _;

use headpin_slab::SlicePlace;

use super::graph::{EdgeKind, NodeIndex, NodeKind};
use super::ids::Key;
use super::model::{Builder, Slabs, number};
use crate::observe::census::{ConnectionRow, HeadRow, Phase, Sizes, TlsRow, WorkerRest};

/// A path may be as long as a client likes; this much of it, in bytes, is shown.
const MOST_PATH: usize = 200;

/// A connection's objects; each has its place among the connection's ids.
#[derive(Debug, Clone, Copy)]
enum Own {
    Connection,
    Tls,
    ToUpstream,
    ToDownstream,
    Head,
    Slice,
    UpstreamHead,
    UpstreamSlice,
}

impl Builder<'_> {
    /// One connection and everything below it, down to the slabs.
    pub(super) fn connection(&mut self, registry: NodeIndex, row: &ConnectionRow, sizes: &Sizes, slabs: &mut Slabs) {
        let first = self.ids.of_connection(row.id, row.is_tunnel());
        let id = |own: Own| first.saturating_add(2 * own as u32);
        let (name, size) = if row.is_tunnel() {
            ("WebSocketConnection", sizes.tunnel)
        } else {
            ("HttpConnection", sizes.http)
        };
        self.label.clear();
        // A String takes all.
        _ = write!(self.label, "#{} {}", row.id, row.peer);
        let edge = self.graph.fresh_text(&self.label);
        let name = self.graph.text(name);
        let size = number(size) + u64::from(row.own_bytes);
        let node = self.graph.node(NodeKind::Object, name, id(Own::Connection), size);
        self.graph.edge(registry, EdgeKind::Property, edge, node);
        let heads = [
            ("head", "downstream", &row.head, Own::Head, Own::Slice),
            (
                "upstream_head",
                "upstream",
                &row.upstream_head,
                Own::UpstreamHead,
                Own::UpstreamSlice,
            ),
        ];
        for (edge, side, head, own, slice) in heads {
            if let Some(head) = head {
                self.head(node, edge, side, head, [id(own), id(slice)], sizes, slabs);
            }
        }
        if let Some(place) = row.last_slice {
            let slice = self.ids.of(Key::Slice(place));
            self.slice(node, "last_slice", place, slice, sizes, slabs);
        }
        let own_size = sizes.tls + row.tls_bytes as usize;
        let tls = self.place(
            node,
            EdgeKind::Property,
            "tls",
            NodeKind::Object,
            "TlsState",
            id(Own::Tls),
            own_size,
        );
        if row.is_tunnel() {
            let sides = [("to_upstream", Own::ToUpstream), ("to_downstream", Own::ToDownstream)];
            for (side, (edge, own)) in sides.into_iter().enumerate() {
                let size = sizes.relay + row.pending[side] as usize;
                let relay = self.place(node, EdgeKind::Property, edge, NodeKind::Object, "Relay", id(own), size);
                if self.details {
                    self.graph.count(relay, "forwarded_bytes", row.relayed[side].bytes);
                    self.graph.count(relay, "pending_bytes", row.pending[side].into());
                }
            }
        }
        if self.details {
            let graph = &mut self.graph;
            if let Some(TlsRow { version, suite }) = row.tls {
                graph.say(tls, "version", version);
                graph.say(tls, "suite", suite);
            }
            graph.count(node, "serial", row.id);
            graph.say(node, "peer", &row.peer.to_string());
            if !row.path.is_empty() {
                graph.say(node, "route", &row.path[..row.path.floor_char_boundary(MOST_PATH)]);
            }
            graph.say(node, "state", state(row));
            graph.count(node, "age_seconds", row.age_seconds as u64);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one head: where it hangs, what it is, what it keeps"
    )]
    fn head(
        &mut self,
        of: NodeIndex,
        edge: &str,
        side: &str,
        head: &HeadRow,
        [id, slice]: [u32; 2],
        sizes: &Sizes,
        slabs: &mut Slabs,
    ) {
        if !slabs.contains_key(&head.slice.slab) {
            self.mismatches.gone += 1;
            return;
        }
        let node = self.place(of, EdgeKind::Property, edge, NodeKind::Object, "Head", id, sizes.head);
        if self.details {
            self.graph.say(node, "side", side);
            self.graph.count(node, "bytes", number(head.bytes));
        }
        self.slice(node, "slice", head.slice, slice, sizes, slabs);
    }

    fn slice(&mut self, of: NodeIndex, edge: &str, place: SlicePlace, id: u32, sizes: &Sizes, slabs: &mut Slabs) {
        let Some(slab) = slabs.get_mut(&place.slab) else {
            self.mismatches.gone += 1;
            return;
        };
        slab.explained = true;
        let slab = slab.node;
        let kind = NodeKind::Object;
        let slice = self.place(of, EdgeKind::Property, edge, kind, "SlabSlice", id, sizes.slice);
        if self.details {
            self.graph.count(slice, "offset", number(place.offset));
            self.graph.count(slice, "length", number(place.len));
        }
        let parent = self.graph.text("parent");
        self.graph.edge(slice, EdgeKind::Property, parent, slab);
    }

    /// What the worker's connections to upstreams remember while they speak HTTP; no node if that is nothing.
    pub(super) fn upstreams(&mut self, worker: NodeIndex, index: usize, rest: &WorkerRest, slabs: &mut Slabs) {
        let mut places = rest.upstream_slices.clone();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return;
        }
        let size = rest.sizes.upstream * places.len();
        let key = Key::Upstreams(index);
        let upstreams = self.object(worker, EdgeKind::Internal, "upstreams", "UpstreamRegistry", key, size);
        for place in places {
            let edge = format!("last_slice at {} in {}", place.offset, place.slab);
            let id = self.ids.of(Key::Slice(place));
            self.slice(upstreams, &edge, place, id, &rest.sizes, slabs);
        }
    }
}

fn state(row: &ConnectionRow) -> &'static str {
    match row.phase {
        Phase::Handshake => "handshake",
        Phase::Http => "http",
        Phase::Tunnel if row.is_closing => "closing",
        Phase::Tunnel => "open",
    }
}
