//! The text of a heap snapshot.

use super::graph::Graph;

/// What stands for itself in every file. Loaders read the columns by it; these are the ones that all of the last years know.
const META: &str = concat!(
    r#"{"node_fields":["type","name","id","self_size","edge_count","trace_node_id","detachedness"],"#,
    r#""node_types":[["hidden","array","string","object","code","closure","regexp","number","native","synthetic","#,
    r#""concatenated string","sliced string","symbol","bigint","object shape"],"#,
    r#""string","number","number","number","number","number"],"#,
    r#""edge_fields":["type","name_or_index","to_node"],"#,
    r#""edge_types":[["context","element","property","internal","hidden","shortcut","weak"],"string_or_number","node"],"#,
    r#""trace_function_info_fields":["function_id","name","script_name","script_id","line","column"],"#,
    r#""trace_node_fields":["id","function_info_index","count","size","children"],"#,
    r#""sample_fields":["timestamp_us","last_assigned_id"],"#,
    r#""location_fields":["object_index","script_id","line","column"]}"#,
);
/// Numbers of a node; an edge names its target by the place of the target's first one.
const NODE_FIELDS: u64 = 7;

/// Bytes of a piece, and a little more at its end.
const PIECE: usize = 64 * 1024;
const MORE: usize = 1024;

/// The text of a finished graph, made piece by piece: none of it is kept.
#[derive(Debug)]
pub(super) struct Text {
    graph: Graph,
    at: Section,
}

/// What comes next.
#[derive(Debug)]
enum Section {
    Head,
    Node(usize),
    Edge(usize),
    /// Number of the text, and where it begins.
    Text(usize, usize),
    End,
}

impl Text {
    pub(super) fn new(graph: Graph) -> Self {
        let at = Section::Head;
        Self { graph, at }
    }

    pub(super) fn memory(&self) -> usize {
        self.graph.memory()
    }

    /// The next piece; `None` behind the last one.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        if matches!(self.at, Section::End) {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + MORE);
        while piece.len() < PIECE && !matches!(self.at, Section::End) {
            self.step(&mut piece);
        }
        Some(piece)
    }

    fn step(&mut self, out: &mut Vec<u8>) {
        let graph = &self.graph;
        self.at = match self.at {
            Section::Head => {
                let (nodes, edges) = (graph.nodes.len(), graph.edges.len());
                let head = format!(
                    "{{\"snapshot\":{{\"meta\":{META},\"node_count\":{nodes},\"edge_count\":{edges},\
                     \"trace_function_count\":0}},\n\"nodes\":["
                );
                out.extend_from_slice(head.as_bytes());
                Section::Node(0)
            }
            Section::Node(nth) => {
                if let Some(node) = graph.nodes.get(nth) {
                    let [name, id, size, edges] = [node.name, node.id, node.size, node.edges].map(u64::from);
                    line(out, nth, &[node.kind as u64, name, id, size, edges, 0, 0]);
                    Section::Node(nth + 1)
                } else {
                    out.extend_from_slice(b"],\n\"edges\":[");
                    Section::Edge(0)
                }
            }
            Section::Edge(nth) => {
                if let Some(edge) = graph.edges.get(nth) {
                    let to = u64::from(edge.to) * NODE_FIELDS;
                    line(out, nth, &[edge.kind as u64, edge.name.into(), to]);
                    Section::Edge(nth + 1)
                } else {
                    out.extend_from_slice(EMPTY);
                    Section::Text(0, 0)
                }
            }
            Section::Text(nth, start) => {
                if let Some((text, end)) = graph.text_at(nth, start) {
                    if nth > 0 {
                        out.extend_from_slice(b",\n");
                    }
                    // Memory takes all, and a text is always JSON.
                    _ = serde_json::to_writer(out, text);
                    Section::Text(nth + 1, end)
                } else {
                    out.extend_from_slice(b"]}\n");
                    Section::End
                }
            }
            Section::End => Section::End,
        };
    }
}

/// Between edges and texts. All arrays have to be there.
const EMPTY: &[u8] =
    b"],\n\"trace_function_infos\":[],\n\"trace_tree\":[],\n\"samples\":[],\n\"locations\":[],\n\"strings\":[";

/// Numbers with commas; lines are divided by commas as well.
fn line(out: &mut Vec<u8>, nth: usize, numbers: &[u64]) {
    if nth > 0 {
        out.extend_from_slice(b"\n,");
    }
    for (nth, number) in numbers.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::snapshot::graph::{EdgeKind, NodeKind};

    #[test]
    fn the_text_is_what_loaders_cut_it_by() {
        let mut graph = Graph::default();
        let (empty, name) = (graph.text(""), graph.text("Some\"thing"));
        let root = graph.node(NodeKind::Synthetic, empty, 1, 0);
        let child = graph.node(NodeKind::Object, name, 3, 7);
        graph.element(root, 5, child);
        graph.edge(root, EdgeKind::Property, name, child);
        graph.finish();
        let mut text = Text::new(graph);
        let pieces: Vec<u8> = std::iter::from_fn(|| text.next()).flatten().collect();
        let text = String::from_utf8(pieces).expect("text");
        assert!(text.starts_with(r#"{"snapshot":{"meta":{"#), "{text}");
        assert!(
            text.ends_with(
                "\"nodes\":[9,0,1,0,2,0,0\n,3,1,3,7,0,0,0],\n\"edges\":[1,5,7\n,2,1,7],\n\"trace_function_infos\":[],\n\
                 \"trace_tree\":[],\n\"samples\":[],\n\"locations\":[],\n\"strings\":[\"\",\n\"Some\\\"thing\"]}\n"
            ),
            "{text}"
        );
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }
}
