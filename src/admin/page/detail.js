// One slab and who pins it, or one connection and what it pins.

import { byId, element, mark, reconcile, say } from "./dom.js";
import { bytes, duration, percent, several } from "./format.js";
import { isPinned } from "./model.js";
import { current, toConnection, toSlab } from "./route.js";

/** Entries of the list; the table has the others. */
const MOST = 100;

export function show(model) {
  const { kind, id } = current();
  const view = kind === "slab" ? slab(model, id) : kind === "connection" ? connection(model, id) : nothing(model);
  mark(byId("detail-title").closest("section"), "data-kind", kind);
  say(byId("detail-title"), view.title);
  say(byId("detail-told"), view.told);
  byId("detail-close").hidden = kind === "none";
  facts(view.facts ?? []);
  const entries = view.entries ?? [];
  byId("detail-list-title").hidden = entries.length === 0;
  say(byId("detail-list-title"), view.listTitle ?? "");
  reconcile(byId("detail-list"), entries.slice(0, MOST), (entry) => entry.key, makeEntry, (node, entry) => {
    mark(node.firstChild, "href", entry.href);
    say(node.firstChild, entry.name);
    say(node.lastChild, entry.told);
  });
  const more = entries.length - MOST;
  byId("detail-more").hidden = more <= 0;
  say(byId("detail-more"), `and ${several(more, "other")}: filter the connections below by ${view.title}`);
}

const makeEntry = () => element("li", {}, element("a"), element("span"));

function facts(rows) {
  const items = rows.flatMap(([name, value]) => [["dt", name, name], ["dd", name, value]]);
  reconcile(byId("detail-facts"), items, ([tag, name]) => `${tag} ${name}`, ([tag]) => element(tag),
    (node, [, , text]) => say(node, text));
}

function slab(model, id) {
  const slab = model.slabs.get(id);
  if (!slab) return { title: id, told: "This slab is not there any more: its memory was freed, or is a spare for the next one." };
  const pinned = isPinned(slab);
  const holders = [...(model.holders.get(id) ?? [])].map((holder) => model.connections.get(holder));
  const entries = holders.flatMap((holder) => holder.heads.filter((head) => head.slab === id).map((head) => ({
    key: `${holder.id} ${head.side}`,
    href: toConnection(holder.id),
    name: `#${holder.id}`,
    told: `${head.side} head, ${several(head.bytes, "byte")} · ${holder.path || holder.phase} · ${holder.peer}`,
  })));
  return {
    title: id,
    told: pinned
      ? `${several(slab.heads, "head")} of ${several(slab.head_bytes, "byte")} ${slab.heads === 1 ? "keeps" : "together keep"} ${bytes(slab.capacity_bytes)} alive.`
      : slab.state === "current" ? "Reads are carved from it now." : "Full; kept by what is still being read from it, by no head.",
    facts: [
      ["Class", slab.class === "tls" ? "tls: read from clients" : "tcp: read from upstreams"],
      ["Worker", String(slab.worker)],
      ["Carved", `${bytes(slab.carved_bytes)} of ${bytes(slab.capacity_bytes)}, ${percent(slab.carved_bytes / slab.capacity_bytes)}`],
      ["Age", duration(model.now - slab.since)],
      ["Slices out", String(slab.slices)],
    ],
    listTitle: pinned ? "Pinned by" : "Heads in it",
    entries,
  };
}

function connection(model, id) {
  const each = model.connections.get(id);
  if (!each) return { title: `#${id}`, told: "This connection is closed." };
  const held = model.pinnedBy(each);
  return {
    title: `#${id}`,
    told: held ? `Its heads keep ${bytes(held)} alive.` : each.heads.length ? "It holds heads, in slabs that are still being filled." : "It pins nothing.",
    facts: [
      ["Phase", each.phase],
      ["Path", each.path || "–"],
      ["Peer", each.peer],
      ["Worker", String(each.worker)],
      ["Age", duration(model.now - each.since)],
      ["Idle", each.phase === "tunnel" ? duration(model.now - each.active) : "–"],
      ["To upstream", `${bytes(each.up)}, ${several(each.upFrames, "frame")}`],
      ["To client", `${bytes(each.down)}, ${several(each.downFrames, "frame")}`],
      ...(each.lastSlice ? [["Last slice in", each.lastSlice]] : []),
    ],
    listTitle: "Its heads",
    entries: each.heads.map((head) => ({
      key: head.side,
      href: toSlab(head.slab),
      name: head.slab,
      told: `${head.side} head, ${several(head.bytes, "byte")}${slabTold(model.slabs.get(head.slab))}`,
    })),
  };
}

const slabTold = (slab) => (slab ? ` · ${isPinned(slab) ? "pins" : "in"} ${bytes(slab.capacity_bytes)}` : "");

function nothing(model) {
  const pinned = [...model.slabs.values()].filter(isPinned).sort((a, b) => a.since - b.since);
  return {
    title: "Who pins what",
    told: pinned.length
      ? "Choose a slab to see whose heads keep it, or a connection to see what it keeps."
      : "Nothing is pinned. A slab that heads keep alive shows here with the connections that hold them.",
    listTitle: "The oldest pinned slabs",
    entries: pinned.slice(0, 6).map((slab) => ({
      key: slab.id,
      href: toSlab(slab.id),
      name: slab.id,
      told: `${several(slab.heads, "head")}, ${several(slab.head_bytes, "byte")} · ${duration(model.now - slab.since)}`,
    })),
  };
}
