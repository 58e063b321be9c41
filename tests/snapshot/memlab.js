// Opens a heap snapshot with memlab and prints, as one JSON object, what each class takes and how a Slab is reached.
"use strict";

const { analysis, utils } = require("@memlab/core");

// The names on the way from the root to a node, by memlab's own shortest path.
function wayTo(node) {
  const names = [];
  for (let at = node; at.pathEdge; at = at.pathEdge.fromNode) {
    names.unshift(String(at.pathEdge.name_or_index).replace(/[0-9][0-9.:]*/g, "N"));
  }
  return names.join(" > ");
}

async function main(file) {
  // memlab tells its progress on the standard output.
  process.stdout.write = process.stderr.write.bind(process.stderr);
  console.log = console.error;
  const snapshot = await utils.getSnapshotFromFile(file, { buildNodeIdIndex: true, verbose: false });
  await analysis.preparePathFinder(snapshot);
  const classes = {};
  const ways = {};
  const ids = {};
  snapshot.nodes.forEach((node) => {
    if (!["object", "native"].includes(node.type)) return;
    const row = (classes[node.name] ??= { count: 0, size: 0, retained: 0 });
    row.count += 1;
    row.size += node.self_size;
    row.retained += node.retainedSize;
    (ids[node.name] ??= []).push(node.id);
    if (node.name === "Slab") {
      const way = wayTo(node);
      ways[way] = (ways[way] ?? 0) + 1;
    }
  });
  require("fs").writeSync(1, JSON.stringify({ classes, ways, ids }) + "\n");
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
