// A cell for each live slab, grouped by worker and class.

import { byId, element, mark, reconcile, say } from "./dom.js";
import { bytes, count, duration, percent, several } from "./format.js";
import { isPinned } from "./model.js";
import { current, glance, toSlab } from "./route.js";

/** Cells of one group that are drawn; the others are counted. */
const MOST_CELLS = 600;
/** The age, in seconds, at which a pinned slab has the last of the colours. */
const OLD = 600;

const map = byId("map");

export function show(model) {
  const groups = Map.groupBy(model.slabs.values(), (slab) => `${slab.worker} ${slab.class}`);
  const ordered = [...groups.values()].sort(([a], [b]) => a.worker - b.worker || b.class.localeCompare(a.class));
  const { route, focus } = { route: current(), focus: document.activeElement };
  const hadFocus = map.contains(focus) && focus.dataset.id;
  reconcile(map, ordered, ([slab]) => `${slab.worker} ${slab.class}`, makeGroup, (node, slabs) =>
    updateGroup(node, slabs, model.now, route));
  byId("map-empty").hidden = model.slabs.size > 0;
  say(byId("slabs-told"), summary(model));
  oneTabStop(route, hadFocus);
}

function summary({ slabs, figures }) {
  let live = 0;
  for (const slab of slabs.values()) live += slab.capacity_bytes;
  return `${several(slabs.size, "slab")}, ${bytes(live)}; ${count(figures.pinned_slabs)} pinned`;
}

function makeGroup([slab]) {
  const id = `group-${slab.worker}-${slab.class}`;
  return element("div", { class: "group", role: "group", "aria-labelledby": id },
    element("h3", { id }), element("div", { class: "cells", role: "presentation" }));
}

function updateGroup(node, slabs, now, route) {
  slabs.sort((a, b) => serial(a) - serial(b));
  const [title, cells] = node.children;
  const { worker, class: kind, capacity_bytes: capacity } = slabs[0];
  say(title, `worker ${worker} · ${kind} · ${count(slabs.length)} × ${bytes(capacity)}`);
  reconcile(cells, slabs.slice(0, MOST_CELLS), (slab) => slab.id, makeCell, (cell, slab) =>
    updateCell(cell, slab, now, route));
  const hidden = slabs.length - MOST_CELLS;
  node.children[2]?.remove();
  if (hidden > 0) node.append(element("p", { class: "more" }, `and ${count(hidden)} younger ones, not drawn`));
}

const serial = (slab) => Number(slab.id.slice(slab.id.lastIndexOf("-") + 1));

function makeCell(slab) {
  return element("div", { role: "option", "data-id": slab.id, tabindex: "-1" },
    element("span", { class: "fill" }), element("span", { class: "pins" }));
}

function updateCell(cell, slab, now, route) {
  const age = now - slab.since;
  const pinned = isPinned(slab);
  const oldness = Math.min(1, Math.log1p(age / 10) / Math.log1p(OLD / 10));
  const [, pins] = cell.children;
  mark(cell, "class", ["cell", `is-${slab.class}`, `is-${slab.state}`, pinned && "is-pinned", oldness > 0.55 && "is-old"]
    .filter(Boolean).join(" "));
  mark(cell, "aria-selected", route.kind === "slab" && route.id === slab.id);
  mark(cell, "aria-label", label(slab, pinned, age));
  set(cell, "--fill", `${Math.round((slab.carved_bytes / slab.capacity_bytes) * 100)}%`);
  set(cell, "--age", `${Math.round(oldness * 20) * 5}%`);
  say(pins, slab.heads ? short(slab.heads) : "");
}

const short = (number) => (number < 1000 ? String(number) : `${Math.floor(number / 1000)}k`);

function set(cell, name, value) {
  if (cell.style.getPropertyValue(name) !== value) cell.style.setProperty(name, value);
}

function label(slab, pinned, age) {
  const fill = `${percent(slab.carved_bytes / slab.capacity_bytes)} carved`;
  const state = pinned ? "pinned" : slab.state;
  // To the minute: else every cell would change every second.
  const old = age < 60 ? "under a minute old" : `${duration(Math.floor(age / 60) * 60)} old`;
  return `${slab.id}, ${state}, ${fill}, ${several(slab.heads, "head")}, ${old}`;
}

/** The map is one stop of the Tab key: the slab that is looked at, else the first. */
function oneTabStop(route, hadFocus) {
  const cells = [...map.querySelectorAll(".cell")];
  const stop = cells.find((cell) => cell === document.activeElement)
    ?? cells.find((cell) => route.kind === "slab" && cell.dataset.id === route.id) ?? cells[0];
  for (const cell of cells) mark(cell, "tabindex", cell === stop ? "0" : "-1");
  // The cell that had the focus is gone with its slab.
  if (hadFocus && !map.contains(document.activeElement)) stop?.focus({ preventScroll: true });
}

function step(cells, from, key) {
  const here = cells[from].getBoundingClientRect();
  switch (key) {
    case "ArrowRight": return cells[from + 1];
    case "ArrowLeft": return cells[from - 1];
    case "Home": return cells[0];
    case "End": return cells.at(-1);
    case "ArrowDown": return cells.slice(from + 1).find((cell) => isBelow(cell.getBoundingClientRect(), here));
    case "ArrowUp": return cells.slice(0, from).findLast((cell) => isBelow(here, cell.getBoundingClientRect()));
    default: return undefined;
  }
}

const isBelow = (a, b) => a.top > b.top + 4 && a.left <= b.left + 4;

map.addEventListener("keydown", (event) => {
  const cells = [...map.querySelectorAll(".cell")];
  const from = cells.indexOf(document.activeElement);
  if (from < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open(cells[from].dataset.id);
    return;
  }
  const to = step(cells, from, event.key);
  if (to) to.focus();
  if (to || event.key.startsWith("Arrow")) event.preventDefault();
});

// Focus shows; a click or Enter goes there.
map.addEventListener("focusin", ({ target }) => {
  if (target.matches(":focus-visible") && target.dataset.id) glance(toSlab(target.dataset.id));
});
map.addEventListener("click", ({ target }) => {
  const cell = target.closest(".cell");
  if (cell) open(cell.dataset.id);
});

function open(id) {
  location.hash = toSlab(id);
  byId("detail-title").focus({ preventScroll: matchMedia("(min-width: 1001px)").matches });
}
