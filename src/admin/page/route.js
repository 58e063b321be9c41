// What is looked at: #/slab/tls-0-7, #/connection/12, or nothing. In the address, so that back, forward and links work.

/** `{ kind, id }` with kind `slab`, `connection` or `none`. */
export function current() {
  const [, kind, id] = location.hash.match(/^#\/(slab|connection)\/([\w-]+)$/) ?? [];
  if (kind === "connection") return { kind, id: Number(id) };
  return kind ? { kind, id } : { kind: "none", id: null };
}

export const toSlab = (id) => `#/slab/${id}`;
export const toConnection = (id) => `#/connection/${id}`;

/** Looks elsewhere without an entry in the history: for what only passes by. */
export function glance(hash) {
  if (location.hash === hash) return;
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
