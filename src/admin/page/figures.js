// The big numbers, and what they mean in words.

import { byId, mark, say } from "./dom.js";
import { bytes, clock, count, percent, several } from "./format.js";

export function show({ figures, slabs, connections }) {
  const { memory } = figures;
  pinned(figures);
  say(byId("resident"), memory.resident_bytes == null ? "unknown" : bytes(memory.resident_bytes));
  let live = 0;
  for (const slab of slabs.values()) live += slab.capacity_bytes;
  say(byId("resident-told"), `${bytes(live)} in ${several(slabs.size, "slab")}${spares(figures.spares)}`);
  let tunnels = 0;
  for (const { phase } of connections.values()) tunnels += phase === "tunnel";
  say(byId("tunnels"), count(tunnels));
  say(byId("tunnels-told"), `of ${several(connections.size, "connection")}`);
  verdict(memory.trend);
  say(byId("version"), figures.version);
}

function pinned({ pinned_slabs: slabs, pinned_bytes: held, pinning_head_bytes: heads }) {
  say(byId("pinned"), slabs ? bytes(held) : "0 B");
  byId("pinned").classList.toggle("is-some", slabs > 0);
  say(byId("pinned-by"), slabs ? `${several(slabs, "slab")} that heads keep alive` : "no head keeps a slab alive");
  if (!slabs) {
    say(byId("amplification"), "none");
    say(byId("amplification-told"), "nothing is pinned");
  } else if (!heads) {
    say(byId("amplification"), "without bound");
    say(byId("amplification-told"), `empty heads, not one byte, keep ${bytes(held)}`);
  } else {
    say(byId("amplification"), `× ${count(held / heads)}`);
    say(byId("amplification-told"), `${several(heads, "byte")} of heads keep ${bytes(held)}`);
  }
}

const spares = (number) => (number ? `, ${several(number, "spare")} besides` : "");

function verdict(trend) {
  const leak = trend.leak;
  const kind = leak?.suspected ? "leak" : leak && trend.samples > 0 ? "none" : "unknown";
  mark(byId("verdict-figure"), "data-verdict", kind);
  const words = { leak: "Leak suspected", none: "No leak seen", unknown: "No verdict yet" };
  say(byId("verdict"), words[kind]);
  const since = leak?.suspected && leak.since_unix_seconds ? `since ${clock(leak.since_unix_seconds)}, ` : "";
  say(byId("verdict-told"), `${since}trend ${percent(trend.ratio, true)} over ${several(trend.samples, "sample")}`);
}
