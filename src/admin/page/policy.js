// The switch. It shows what the stream says is in force, not what was asked for.

import { byId, mark, say } from "./dom.js";
import { several } from "./format.js";
import { put } from "./link.js";

/** How long the stream may take to confirm what the proxy has answered. */
const CONFIRM_MS = 5000;

const button = byId("policy");
const told = byId("policy-told");
let inForce = null;
/** While a change is on its way: the policy that was asked for. */
let wanted = null;

/** `policy` is null while there is no news from the proxy. */
export function show(policy) {
  if (policy) mark(button, "aria-checked", policy === "pin");
  if (policy === wanted) wanted = null;
  inForce = policy;
  // Not `disabled`, which would take the focus away from whoever flips it by keyboard.
  mark(button, "aria-disabled", !inForce || wanted !== null);
}

function tell(text, isError = false) {
  say(told, text);
  told.classList.toggle("is-error", isError);
}

async function flip() {
  if (!inForce || wanted) return;
  wanted = inForce === "pin" ? "copy" : "pin";
  show(inForce);
  tell(`Changing to ${wanted}`);
  try {
    const { head_policy: policy, released_heads: released } = await put("api/head_policy", { head_policy: wanted });
    tell(policy === "copy" ? `${several(released, "head")} let go` : "Heads of new tunnels are held");
    setTimeout(() => release(policy), CONFIRM_MS);
  } catch (error) {
    tell(`Not changed: ${error.message}`, true);
    release(wanted);
  }
}

/** Ends the wait for `policy`, confirmed or not. */
function release(policy) {
  if (wanted !== policy) return;
  wanted = null;
  show(inForce);
}

button.addEventListener("click", flip);
