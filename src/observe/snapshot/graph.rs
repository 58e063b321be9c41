//! Nodes, edges and strings, as a V8 heap snapshot has them.

use std::collections::HashMap;

/// Place of a type in `node_types` of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeKind {
    Hidden = 0,
    String = 2,
    Object = 3,
    Code = 4,
    Number = 7,
    Native = 8,
    Synthetic = 9,
}

/// Place of a type in `edge_types` of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgeKind {
    Element = 1,
    Property = 2,
    Internal = 3,
    Weak = 6,
}

/// Place of a text in `strings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Text(u32);

/// Place of a node in `nodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeIndex(u32);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) name: u32,
    pub(super) id: u32,
    pub(super) size: u32,
    pub(super) edges: u32,
}

#[derive(Debug)]
pub(super) struct Edge {
    source: u32,
    pub(super) kind: EdgeKind,
    /// A place in `strings`, or the number itself if the kind is `Element`.
    pub(super) name: u32,
    pub(super) to: u32,
}

/// Most bytes of one node: sizes are 32 bits in DevTools, and what is larger vanishes without a word.
pub(super) const MOST: u64 = u32::MAX as u64;

/// A heap graph that is complete once it is [finished](Self::finish).
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    /// All texts one behind the other, and where each ends.
    texts: String,
    ends: Vec<u32>,
    known: HashMap<Box<str>, Text>,
    values: HashMap<(NodeKindOfValue, Text), NodeIndex>,
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum NodeKindOfValue {
    String,
    Number,
}

impl Graph {
    /// Makes room.
    pub(super) fn reserve(&mut self, nodes: usize, edges: usize) {
        self.nodes.reserve_exact(nodes);
        self.edges.reserve_exact(edges);
    }

    /// A text that may be used again. Each is stored once: DevTools groups by the place, and drops groups whose text it
    /// has already.
    pub(super) fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let new = self.fresh_text(text);
        self.known.insert(text.into(), new);
        new
    }

    /// A text that is asked for once.
    pub(super) fn fresh_text(&mut self, text: &str) -> Text {
        self.texts.push_str(text);
        self.ends.push(index(self.texts.len()));
        Text(index(self.ends.len() - 1))
    }

    /// A node of at most [`MOST`] bytes.
    pub(super) fn node(&mut self, kind: NodeKind, name: Text, id: u32, size: u64) -> NodeIndex {
        self.nodes.push(Node {
            kind,
            name: name.0,
            id,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            edges: 0,
        });
        self.total += size.min(MOST);
        NodeIndex(index(self.nodes.len() - 1))
    }

    pub(super) fn edge(&mut self, from: NodeIndex, kind: EdgeKind, name: Text, to: NodeIndex) {
        self.edges.push(Edge {
            source: from.0,
            kind,
            name: name.0,
            to: to.0,
        });
    }

    /// An edge with a number for a name.
    pub(super) fn element(&mut self, from: NodeIndex, number: u32, to: NodeIndex) {
        self.edges.push(Edge {
            source: from.0,
            kind: EdgeKind::Element,
            name: number,
            to: to.0,
        });
    }

    /// A property whose value is a text.
    pub(super) fn say(&mut self, of: NodeIndex, name: &str, value: &str) {
        self.property(of, name, NodeKindOfValue::String, value);
    }

    /// A property whose value is a number.
    pub(super) fn count(&mut self, of: NodeIndex, name: &str, value: u64) {
        self.property(of, name, NodeKindOfValue::Number, itoa::Buffer::new().format(value));
    }

    /// Values are nodes without size, one for each value. Their ids are even: DevTools leaves those out where it looks for
    /// the newest object of a snapshot.
    fn property(&mut self, of: NodeIndex, name: &str, kind: NodeKindOfValue, value: &str) {
        let (name, value) = (self.text(name), self.text(value));
        let node = match self.values.get(&(kind, value)) {
            Some(node) => *node,
            None => {
                let id = 2 + 2 * index(self.values.len());
                let node_kind = match kind {
                    NodeKindOfValue::String => NodeKind::String,
                    NodeKindOfValue::Number => NodeKind::Number,
                };
                let node = self.node(node_kind, value, id, 0);
                self.values.insert((kind, value), node);
                node
            }
        };
        self.edge(of, EdgeKind::Property, name, node);
    }

    /// Sum of all sizes, in bytes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Brings edges into the order of their nodes, and lets go of what was only needed for building.
    pub(super) fn finish(&mut self) {
        self.known = HashMap::new();
        self.values = HashMap::new();
        self.nodes.shrink_to_fit();
        self.edges.shrink_to_fit();
        self.texts.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.edges.sort_by_key(|edge| edge.source);
        for edge in &self.edges {
            self.nodes[edge.source as usize].edges += 1;
        }
    }

    /// The text in this place, which begins at `start` of all texts, and where it ends.
    pub(super) fn text_at(&self, nth: usize, start: usize) -> Option<(&str, usize)> {
        let end = *self.ends.get(nth)? as usize;
        Some((&self.texts[start..end], end))
    }

    /// Bytes of memory that it takes, once finished.
    pub(super) fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.texts.capacity()
            + self.ends.capacity() * size_of::<u32>()
    }
}

/// # Panics
/// Above 2^32 nodes, edges or bytes of text: such a graph does not fit in memory.
fn index(len: usize) -> u32 {
    u32::try_from(len).expect("a graph has less than 2^32 of anything")
}
