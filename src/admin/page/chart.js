// Memory by part, stacked, over the last minutes.

import { byId, drawing, element, mark, reconcile, say } from "./dom.js";
import { bytes, clock, percent } from "./format.js";
import { HISTORY_SECONDS } from "./model.js";

/** From the bottom: what hardly moves, so that what does move stands on level ground. */
const PARTS = {
  code_and_stacks: "code and stacks",
  other: "other",
  allocator_slack: "allocator slack",
  http: "HTTP",
  unsent: "unsent",
  tls: "TLS",
  tunnels: "tunnels",
  slabs: "slabs",
};
/** Frames further apart than this, in seconds, are not joined: nobody knows what was between. */
const GAP = 5;
const MARGIN = { left: 66, right: 8, top: 8, bottom: 22 };

const chart = byId("chart");
const cursor = drawing("line", { class: "cursor", visibility: "hidden" });
const layers = drawing("g");
const grid = drawing("g");
chart.append(drawing("svg", { "aria-hidden": "true" }, grid, layers, cursor));

let model = null;
/** Index in the history of what the pointer or the arrow keys are at; null is now. */
let at = null;
let size = { width: 600, height: 250 };

export function show(shown) {
  model = shown;
  if (model.history.length) draw();
}

function draw() {
  const { history } = model;
  const end = history.at(-1).at;
  const names = Object.keys(PARTS).filter((part) => part in history.at(-1).parts);
  const top = ceiling(Math.max(...history.map(({ parts }) => sum(parts))));
  const span = spanOf(history);
  const x = (time) => MARGIN.left + (1 - (end - time) / span) * (size.width - MARGIN.left - MARGIN.right);
  const y = (value) => size.height - MARGIN.bottom - (value / top) * (size.height - MARGIN.top - MARGIN.bottom);
  drawGrid(top, x, y, end, span);

  const runs = unbroken(history.filter((point) => point.at >= end - HISTORY_SECONDS));
  const floors = runs.map((run) => run.map(() => 0));
  const areas = names.map((name) => ({ name, path: runs.map((run, r) => area(run, floors[r], name, x, y)).join("") }));
  reconcile(layers, areas, ({ name }) => name, ({ name }) => drawing("path", { fill: `var(--part-${name})` }),
    (path, { path: d }) => mark(path, "d", d));
  const point = history[Math.min(at ?? Infinity, history.length - 1)];
  mark(cursor, "visibility", at === null ? "hidden" : "visible");
  for (const [name, value] of Object.entries({ x1: x(point.at), x2: x(point.at), y1: MARGIN.top, y2: y(0) })) mark(cursor, name, value);
  tell(point, names);
}

/** The outline of one part on top of those below it, whose heights are in `floor` and grow by it. */
function area(run, floor, name, x, y) {
  const lower = run.map(({ at }, i) => `${x(at).toFixed(1)},${y(floor[i]).toFixed(1)}`);
  run.forEach(({ parts }, i) => (floor[i] += parts[name] ?? 0));
  const upper = run.map(({ at }, i) => `${x(at).toFixed(1)},${y(floor[i]).toFixed(1)}`);
  return `M${upper.join("L")}L${lower.reverse().join("L")}Z`;
}

function unbroken(history) {
  const runs = [];
  history.forEach((point, i) => {
    if (i === 0 || point.at - history[i - 1].at > GAP) runs.push([]);
    runs.at(-1).push(point);
  });
  return runs;
}

function drawGrid(top, x, y, end, span) {
  const values = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top);
  const step = [10, 30, 60].find((step) => span / step <= 6);
  const moments = Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => i * step);
  const lines = [
    ...values.map((value) => ({ key: `y${value / top}`, x: MARGIN.left - 8, y: y(value) + 4, anchor: "end", text: bytes(value), line: y(value) })),
    ...moments.map((ago) => ({ key: `x${ago}`, x: x(end - ago), y: size.height - 4, anchor: ago ? "middle" : "end", text: moment(ago) })),
  ];
  reconcile(grid, lines, ({ key }) => key, () => drawing("g", {}, drawing("line", { class: "grid" }), drawing("text")), (node, line) => {
    const [rule, text] = node.children;
    mark(rule, "visibility", line.line === undefined ? "hidden" : "visible");
    for (const [name, value] of Object.entries({ x1: MARGIN.left, x2: size.width - MARGIN.right, y1: line.line ?? 0, y2: line.line ?? 0 })) mark(rule, name, value);
    for (const [name, value] of Object.entries({ x: line.x, y: line.y, "text-anchor": line.anchor })) mark(text, name, value);
    say(text, line.text);
  });
}

/** What is shown, in seconds: what there is, from one minute to all that is kept. */
const spanOf = (history) => Math.min(Math.max(history.at(-1).at - history[0].at, 60), HISTORY_SECONDS);

const moment = (ago) => (ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`);

/** A round number of bytes, a little above `value` at the least, that quarters well. */
export function ceiling(value) {
  const least = Math.max(value, 1024) * 1.04;
  const unit = 1024 ** Math.floor(Math.log(least) / Math.log(1024));
  const steps = [1, 1.5, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 400, 512, 640, 800];
  return (steps.find((step) => step * unit >= least) ?? 1024) * unit;
}

const sum = (parts) => Object.values(parts).reduce((total, part) => total + part, 0);

/** The values at one time, as the legend: the topmost part first. */
function tell(point, names) {
  say(byId("chart-at"), at === null ? "Now" : `At ${clock(point.at)}`);
  const total = sum(point.parts);
  const rows = [...names].reverse().map((name) => ({ name, text: PARTS[name], value: point.parts[name] ?? 0 }));
  rows.push({ name: "total", text: "resident", value: total });
  reconcile(byId("parts"), rows, ({ name }) => name, makeRow, (row, { value }) => {
    say(row.cells[1], bytes(value));
    say(row.cells[2], percent(total ? value / total : 0));
  });
}

function makeRow({ name, text }) {
  const head = element("th", { scope: "row" }, text);
  if (name !== "total") {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = `var(--part-${name})`;
    head.prepend(swatch);
  }
  return element("tr", {}, head, element("td"), element("td"));
}

function look(index) {
  at = index === null || index >= model.history.length ? null : Math.max(0, index);
  draw();
}

chart.addEventListener("pointermove", (event) => {
  if (!model?.history.length) return;
  const { history } = model;
  const left = chart.getBoundingClientRect().left + MARGIN.left;
  const share = (event.clientX - left) / (size.width - MARGIN.left - MARGIN.right);
  const time = history.at(-1).at - (1 - share) * spanOf(history);
  const next = history.findIndex((point) => point.at >= time);
  look(next < 0 ? history.length - 1 : next);
});
chart.addEventListener("pointerleave", () => model?.history.length && look(null));
chart.addEventListener("blur", () => model?.history.length && look(null));
chart.addEventListener("keydown", (event) => {
  if (!model?.history.length) return;
  const here = at ?? model.history.length - 1;
  const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: null, Escape: null }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  look(to);
});
new ResizeObserver(([{ contentRect }]) => {
  size = { width: Math.max(contentRect.width, 200), height: contentRect.height };
  if (model?.history.length) draw();
}).observe(chart);
