// Puts the parts together: frames go into the model, and what is shown is made from it.

import * as chart from "./chart.js";
import * as detail from "./detail.js";
import { byId, say } from "./dom.js";
import * as figures from "./figures.js";
import { clock, duration, latency, several } from "./format.js";
import { follow } from "./link.js";
import * as map from "./map.js";
import { Model } from "./model.js";
import * as policy from "./policy.js";
import { current } from "./route.js";
import * as table from "./table.js";
import * as upstreams from "./upstreams.js";

const VIEWS = [figures, map, detail, chart, upstreams, table];
const PHASES = { running: "Live", draining: "Live; the proxy is draining", ending: "The proxy is ending" };

const model = new Model();
/** When frames stopped to come, by this machine's clock in Unix seconds; null while they come. */
let lostSince = null;
let isDrawn = true;

function draw() {
  isDrawn = true;
  if (model.figures) for (const view of VIEWS) view.show(model);
}

/** At most once a frame of the screen, and not for nobody. */
function drawSoon() {
  if (!isDrawn) return;
  isDrawn = false;
  if (!document.hidden) requestAnimationFrame(draw);
}

function onFrame(frame) {
  model.apply(frame);
  lostSince = null;
  document.body.dataset.link = "live";
  byId("lost").hidden = true;
  say(byId("lost-what"), "");
  say(byId("link"), PHASES[model.figures.phase]);
  tellTakenOver(model.figures.taken_over);
  policy.show(model.figures.head_policy);
  drawSoon();
}

/** What a process has from the one before it; the same figures as its series. */
function tellTakenOver(taken) {
  const what = taken && `${several(taken.tunnels, "tunnel")} and ${several(taken.connections, "idle connection")}`;
  const pause = taken && `longest pause ${latency(taken.longest_pause_seconds)}`;
  say(byId("taken-over"), taken ? `Took over ${what} from the process before, in ${latency(taken.seconds)}; ${pause}` : "");
}

function onLost(why) {
  lostSince ??= Date.now() / 1000;
  document.body.dataset.link = "lost";
  byId("lost").hidden = false;
  say(byId("link"), "No connection");
  say(byId("lost-what"), `No news from the proxy since ${clock(lostSince)}: ${why}. Trying again by itself.`);
  policy.show(null);
  // Buttons are of no use now.
  drawSoon();
  tellHowLong();
}

/** Not in the alert, which would be read out every second. */
function tellHowLong() {
  if (lostSince === null) return;
  const ago = `${duration(Date.now() / 1000 - lostSince)} ago`;
  const shown = model.figures ? `What is shown is from ${clock(model.now)}` : "Nothing has been received yet";
  say(byId("lost-how-long"), `${shown}; lost ${ago}.`);
}

setInterval(tellHowLong, 1000);
document.addEventListener("visibilitychange", () => !document.hidden && draw());
addEventListener("hashchange", () => {
  draw();
  // A link was followed from within the panel or the table: go on reading there.
  if (current().kind !== "none" && document.activeElement?.matches(".pins a, .rows a")) byId("detail-title").focus();
});
follow("api/events", { onFrame, onLost });
