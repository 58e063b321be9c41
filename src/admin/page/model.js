// What the proxy has told: figures, slabs, connections, upstreams, and memory over the last minutes.

/** What the chart shows, in seconds. */
export const HISTORY_SECONDS = 300;

export class Model {
  figures = null;
  slabs = new Map();
  connections = new Map();
  /** By name. */
  upstreams = new Map();
  /** From a slab to the connections whose heads are in it. */
  holders = new Map();
  /** `{ at, parts }`, the oldest first. */
  history = [];

  /** The proxy's time of the last frame, in Unix seconds. */
  get now() {
    return this.figures?.unix_seconds ?? 0;
  }

  apply({ whole, figures, slabs, connections, upstreams }) {
    if (whole) {
      this.slabs.clear();
      this.connections.clear();
      this.holders.clear();
      this.upstreams.clear();
    }
    this.figures = figures;
    for (const slab of slabs.set) this.slabs.set(slab.id, slab);
    for (const id of slabs.gone) this.slabs.delete(id);
    for (const id of connections.gone) this.#forget(id);
    for (const row of connections.set) {
      this.#forget(row[0]);
      this.#add(connection(row));
    }
    for (const [id, ...traffic] of connections.moved) moved(this.connections.get(id), traffic);
    for (const upstream of upstreams.set) this.upstreams.set(upstream.name, upstream);
    for (const name of upstreams.gone) this.upstreams.delete(name);
    for (const [name, ...servers] of upstreams.moved) served(this.upstreams.get(name), servers);
    this.#remember(figures);
  }

  /** Capacity of the retired slabs that this connection's heads keep. */
  pinnedBy(connection) {
    // At most two heads, in slabs of two classes. Asked for ten thousand a second: nothing is made for the answer.
    let bytes = 0;
    for (const { slab: id } of connection.heads) {
      const slab = this.slabs.get(id);
      if (slab && isPinned(slab)) bytes += slab.capacity_bytes;
    }
    return bytes;
  }

  #add(connection) {
    this.connections.set(connection.id, connection);
    for (const { slab } of connection.heads) {
      if (!this.holders.has(slab)) this.holders.set(slab, new Set());
      this.holders.get(slab).add(connection.id);
    }
  }

  #forget(id) {
    for (const { slab } of this.connections.get(id)?.heads ?? []) {
      const holders = this.holders.get(slab);
      holders?.delete(id);
      if (holders?.size === 0) this.holders.delete(slab);
    }
    this.connections.delete(id);
  }

  #remember({ unix_seconds: at, memory }) {
    if (!memory.parts) return;
    const last = this.history.at(-1);
    // The proxy's clock was set back: what was before cannot be drawn with what comes.
    if (last && last.at > at) this.history = [];
    this.history.push({ at, parts: memory.parts });
    while (this.history[0].at < at - HISTORY_SECONDS - 2) this.history.shift();
  }
}

/** Retired, and a head in it. */
export const isPinned = (slab) => slab.state === "retired" && slab.heads > 0;

function connection([id, worker, peer, phase, since, path, active, up, upFrames, down, downFrames, heads, lastSlice]) {
  const held = heads.map(([side, slab, bytes, slice]) => ({ side, slab, bytes, slice }));
  const text = [`#${id}`, peer, phase, path, ...held.map((head) => head.slab)].join(" ").toLowerCase();
  // Both are rounded: nothing is idle for longer than it is there.
  active = Math.max(active, since);
  return { id, worker, peer, phase, since, path, active, up, upFrames, down, downFrames, heads: held, lastSlice, text };
}

function moved(connection, [active, up, upFrames, down, downFrames]) {
  if (connection) Object.assign(connection, { active, up, upFrames, down, downFrames });
}

/** The counters come in the order of the servers. */
function served(upstream, counters) {
  counters.forEach(([requests, failures, in_flight, tunnels, latency_seconds], i) =>
    Object.assign(upstream.servers[i], { requests, failures, in_flight, tunnels, latency_seconds }));
}
