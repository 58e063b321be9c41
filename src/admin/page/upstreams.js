// The servers of each upstream: how they are and why, what they do, and a button for each.

import { byId, element, mark, reconcile, say } from "./dom.js";
import * as drain from "./drain.js";
import { count, duration, latency, several } from "./format.js";

/** With more servers than these in all, an upstream shows only those that are not up until it is unfolded. */
const FEW = 20;
/** Rows of one upstream; /api/upstreams has the others. */
const MOST = 100;
/** In the order in which they are counted. */
const STATES = ["up", "down", "unhealthy", "draining", "unresolved"];
const BAD = ["down", "unhealthy"];

/** What a column is called and shows. The first and the last are of a server, the others of each of its addresses. */
const COLUMNS = [
  { name: "Server", fill: (cell, { server }) => fillBound(cell, server), kind: "is-server" },
  { name: "Address", fill: (cell, { address }) => fillBound(cell, address), kind: "is-address is-minor" },
  { name: "State", fill: fillState, kind: "is-told" },
  { name: "Requests", fill: (cell, { requests }) => say(cell, count(requests)), kind: "is-number is-minor" },
  { name: "Failures", fill: (cell, { failures }) => say(cell, count(failures)), kind: "is-number is-minor" },
  { name: "In flight", fill: (cell, server) => say(cell, count(server.in_flight)), kind: "is-number is-minor" },
  { name: "Tunnels", fill: (cell, { tunnels }) => say(cell, count(tunnels)), kind: "is-number" },
  { name: "Latency", fill: (cell, server) => say(cell, latency(server.latency_seconds)), kind: "is-number is-minor" },
  { name: "Last failure", fill: fillFailure, kind: "is-told is-minor" },
  { name: "", fill: () => {}, kind: "is-action" },
];
const ACTION = COLUMNS.length - 1;

const table = byId("upstreams");
/** From an upstream to whether it was unfolded by hand, or folded. */
const unfolded = new Map();
let model = null;

export function show(shown) {
  model = shown;
  const upstreams = [...model.upstreams.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const all = upstreams.flatMap(({ servers }) => servers);
  say(byId("upstreams-told"), `${several(upstreams.length, "upstream")}, ${tally(all)}`);
  byId("upstreams-empty").hidden = upstreams.length > 0;
  table.hidden = upstreams.length === 0;
  // The head is kept beside the upstreams: it stands in the same table.
  const parts = [null, ...upstreams];
  reconcile(table, parts, (part) => part?.name, (part) => (part ? element("tbody") : makeHead()), (body, upstream) => {
    if (upstream) updateBody(body, upstream, unfolded.get(upstream.name) ?? all.length <= FEW);
  });
}

/** `1 server up`, or `10 servers: 8 up, 1 down, 1 draining`. */
function tally(servers) {
  const all = several(servers.length, "server");
  const numbers = STATES.map((state) => [state, servers.filter((server) => server.state === state).length]);
  const found = numbers.filter(([, number]) => number > 0);
  if (found.length === 1) return `${all} ${found[0][0]}`;
  return found.length ? `${all}: ${found.map(([state, number]) => `${count(number)} ${state}`).join(", ")}` : all;
}

function makeHead() {
  const cells = COLUMNS.map(({ name, kind }) => element("th", { scope: "col", class: kind }, name));
  mark(cells[ACTION], "aria-label", "Drain or bring back");
  return element("thead", {}, element("tr", {}, ...cells));
}

function updateBody(body, upstream, isUnfolded) {
  const shown = isUnfolded ? upstream.servers : upstream.servers.filter(({ state }) => state !== "up");
  const rows = shown.slice(0, MOST);
  const more = shown.length - rows.length;
  const addresses = Map.groupBy(upstream.servers, ({ server }) => server);
  const rowsOf = Map.groupBy(rows, ({ server }) => server);
  const servers = rows.map((server) => ({
    key: `${server.server}\n${server.address}`,
    server,
    /** Rows of the cells that its addresses share; 0 where another row has them. */
    span: rowsOf.get(server.server)[0] === server ? rowsOf.get(server.server).length : 0,
    draining: addresses.get(server.server).every(({ state }) => state === "draining"),
  }));
  const items = [{ key: "title" }, ...servers, ...(more > 0 ? [{ key: "more" }] : [])];
  const held = body.contains(document.activeElement) && document.activeElement.what?.server;
  reconcile(body, items, ({ key }) => key, makeRow, (row, item) => {
    if (item.key === "title") updateTitle(row, upstream, isUnfolded);
    else if (item.key === "more") say(row.cells[0], `and ${count(more)} more, at /api/upstreams`);
    else updateServer(row, upstream, item);
  });
  if (held) keepFocus(body, held);
}

function makeRow({ key }) {
  if (key === "more") return element("tr", {}, element("td", { colspan: COLUMNS.length, class: "is-more" }));
  if (key !== "title") return makeServer();
  const fold = element("button", { type: "button", class: "fold" });
  fold.addEventListener("click", () => {
    unfolded.set(fold.textContent, fold.getAttribute("aria-expanded") !== "true");
    show(model);
  });
  const cell = element("th", { colspan: COLUMNS.length, scope: "rowgroup" }, fold, element("span"), element("span"));
  return element("tr", { class: "title" }, cell);
}

function updateTitle(row, { name, balance, servers }, isUnfolded) {
  const [fold, how, told] = row.cells[0].children;
  say(fold, name);
  mark(fold, "aria-expanded", isUnfolded);
  say(how, balance);
  say(told, tally(servers));
  told.classList.toggle("is-bad", servers.some(({ state }) => BAD.includes(state)));
}

function makeServer() {
  const [first, ...others] = COLUMNS;
  const name = element("th", { scope: "row", class: first.kind });
  const cells = [name, ...others.map(({ kind }) => element("td", { class: kind }))];
  cells[ACTION].append(drain.make());
  return element("tr", {}, ...cells);
}

function updateServer(row, upstream, { server, span, draining }) {
  COLUMNS.forEach(({ fill }, i) => fill(row.cells[i], server, model.now));
  for (const cell of [row.cells[0], row.cells[ACTION]]) {
    cell.hidden = span === 0;
    mark(cell, "rowspan", Math.max(span, 1));
  }
  drain.update(row.cells[ACTION].firstChild, { upstream: upstream.name, server: server.server, draining });
}

function fillState(cell, { state, since, why }, now) {
  if (!cell.firstChild) {
    const [name, time] = ["state-name", "since"].map((kind) => element("span", { class: kind }));
    cell.append(name, " ", time, element("small"));
  }
  const [name, time, reason] = cell.children;
  mark(cell, "data-state", state);
  say(name, state);
  say(time, `for ${duration(now - since)}`);
  say(reason, why ?? "");
}

/** What is already told as the reason is not told twice. */
function fillFailure(cell, { why, last_failure: what, failed }, now) {
  if (!cell.firstChild) cell.append(element("span"), element("small"));
  say(cell.firstChild, failed === null ? "–" : `${duration(now - failed)} ago`);
  say(cell.lastChild, what === why ? "" : (what ?? ""));
}

/** What may be long. */
function fillBound(cell, text) {
  if (!cell.firstChild) cell.append(element("span", { class: "bound" }));
  say(cell.firstChild, text);
}

/** The row whose button had the focus may be folded away, or its button may be in another row now. */
function keepFocus(body, server) {
  const buttons = [...body.querySelectorAll("td:not([hidden]) > button")];
  const next = buttons.find((button) => button.what.server === server) ?? body.querySelector(".fold");
  if (next !== document.activeElement) next.focus({ preventScroll: true });
}
