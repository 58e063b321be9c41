// The buttons that take a server out of turn and bring it back. Each shows what the stream says, not what was asked for.

import { byId, element, mark, say } from "./dom.js";
import { put } from "./link.js";

/** How long the stream may take to confirm what the proxy has answered. */
const CONFIRM_MS = 5000;

const told = byId("drain-told");
/** From a server of an upstream to what was asked for, while that is on its way. */
const wanted = new Map();

const keyOf = ({ upstream, server }) => `${upstream}\n${server}`;

export function make() {
  const button = element("button", { type: "button" });
  button.addEventListener("click", () => flip(button));
  return button;
}

/** `what` is `{ upstream, server, draining }`. */
export function update(button, what) {
  const key = keyOf(what);
  if (wanted.get(key) === what.draining) wanted.delete(key);
  button.what = what;
  const name = what.draining ? "Bring back" : "Drain";
  say(button, name);
  mark(button, "aria-label", `${name} ${what.server} of ${what.upstream}`);
  // Not `disabled`, which would take the focus away from whoever presses it by keyboard.
  mark(button, "aria-disabled", document.body.dataset.link !== "live" || wanted.has(key));
}

function tell(text, isError = false) {
  say(told, text);
  told.classList.toggle("is-error", isError);
}

async function flip(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  const { upstream, server, draining } = button.what;
  const key = keyOf(button.what);
  const drain = !draining;
  wanted.set(key, drain);
  update(button, button.what);
  tell(drain ? `Draining ${server}` : `Bringing back ${server}`);
  try {
    await put("api/upstreams", { upstream, server, drain });
    tell(drain ? `${server} gets no new requests` : `${server} is back in turn`);
    setTimeout(() => release(key, drain), CONFIRM_MS);
  } catch (error) {
    tell(`Not changed: ${error.message}`, true);
    release(key, drain);
  }
}

/** Ends the wait, confirmed or not; the next frame shows it. */
function release(key, drain) {
  if (wanted.get(key) === drain) wanted.delete(key);
}
