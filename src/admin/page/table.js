// The connections, a page at a time: ten thousand of them are sorted and filtered, and 25 are in the document.

import { byId, element, mark, reconcile, say } from "./dom.js";
import { bytes, count, duration, several } from "./format.js";
import { current, toConnection } from "./route.js";

const ROWS = 25;

/** What a column is called, sorted by and shows. */
const COLUMNS = [
  { name: "Connection", key: (c) => c.id, text: (c) => `#${c.id}` },
  { name: "Pins", key: (c, model) => model.pinnedBy(c), text: (c, model) => bytesOrDash(model.pinnedBy(c)), kind: "is-number" },
  { name: "Path", key: (c) => c.path, text: (c) => c.path || "–", kind: "path" },
  { name: "Phase", key: (c) => c.phase, text: (c) => c.phase, kind: "is-minor" },
  { name: "Peer", key: (c) => c.peer, text: (c) => c.peer, kind: "is-minor" },
  { name: "Worker", key: (c) => c.worker, text: (c) => String(c.worker), kind: "is-number is-minor" },
  { name: "Age", key: (c) => -c.since, text: (c, { now }) => duration(now - c.since), kind: "is-number is-minor" },
  { name: "Idle", key: (c) => -c.active, text: (c, { now }) => (c.phase === "tunnel" ? duration(now - c.active) : "–"), kind: "is-number" },
  { name: "To upstream", key: (c) => c.up, text: (c) => bytes(c.up), kind: "is-number" },
  { name: "To client", key: (c) => c.down, text: (c) => bytes(c.down), kind: "is-number" },
];

let model = null;
let page = 0;
let sort = { column: COLUMNS[1], descending: true };

const bytesOrDash = (number) => (number ? bytes(number) : "–");

export function show(shown) {
  model = shown;
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  for (const each of model.connections.values()) {
    if (words.every((word) => each.text.includes(word))) found.push(each);
  }
  const pages = Math.max(1, Math.ceil(found.length / ROWS));
  page = Math.min(page, pages - 1);
  const route = current();
  reconcile(byId("rows"), inOrder(found).slice(page * ROWS, (page + 1) * ROWS), ({ id }) => id, makeRow, (row, each) =>
    updateRow(row, each, route));
  say(byId("connections-told"), told(found.length));
  byId("rows-empty").hidden = found.length > 0;
  say(byId("rows-empty"), words.length ? "No connection matches the filter." : "No client is connected.");
  say(byId("page-told"), `page ${count(page + 1)} of ${count(pages)}`);
  byId("previous").disabled = page === 0;
  byId("next").disabled = page === pages - 1;
}

function told(found) {
  const all = model.connections.size;
  return found === all ? several(all, "connection") : `${count(found)} of ${several(all, "connection")}`;
}

/** Keys are made once for each: a comparison is made many times. */
function inOrder(connections) {
  const { column, descending } = sort;
  const sign = descending ? -1 : 1;
  const keyed = connections.map((each) => ({ key: column.key(each, model), each }));
  keyed.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : a.each.id - b.each.id));
  return keyed.map(({ each }) => each);
}

function makeRow({ id }) {
  const row = element("tr");
  for (const { kind } of COLUMNS) row.append(element("td", kind ? { class: kind } : {}));
  row.cells[0].append(element("a", { href: toConnection(id) }));
  return row;
}

function updateRow(row, each, route) {
  mark(row, "aria-selected", route.kind === "connection" && route.id === each.id ? "true" : null);
  COLUMNS.forEach(({ text }, i) => say(row.cells[i].firstElementChild ?? row.cells[i], text(each, model)));
  row.cells[1].classList.toggle("is-pinning", row.cells[1].textContent !== "–");
}

function turn(to) {
  page = to;
  if (model) show(model);
}

function head(column) {
  const button = element("button", { type: "button" }, column.name);
  const cell = element("th", { scope: "col", class: column.kind === "path" ? "" : (column.kind ?? "") }, button);
  button.addEventListener("click", () => {
    const descending = sort.column === column ? !sort.descending : column !== COLUMNS[0] && column !== COLUMNS[2];
    sort = { column, descending };
    markSorted();
    turn(0);
  });
  return cell;
}

function markSorted() {
  COLUMNS.forEach((column, i) => {
    const order = sort.descending ? "descending" : "ascending";
    mark(byId("columns").children[i], "aria-sort", column === sort.column ? order : null);
  });
}

byId("columns").append(...COLUMNS.map(head));
markSorted();
byId("filter").addEventListener("input", () => turn(0));
byId("previous").addEventListener("click", () => turn(page - 1));
byId("next").addEventListener("click", () => turn(page + 1));
