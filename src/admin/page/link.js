// The way to the proxy. The event stream is followed for ever, and honest about when it is not there.
//
// It is read with fetch rather than EventSource, which hides why it was refused and does not notice a peer that has gone
// silent.

/** The proxy sends a frame a second, whatever happens. */
const SILENCE_MS = 5000;
const PAUSES_MS = [500, 1000, 1000, 2000, 3000];

/** Calls `onFrame` with each frame, `onLost` with a reason when frames no longer come; never returns. */
export async function follow(url, { onFrame, onLost }) {
  for (let failures = 0; ; failures += 1) {
    const silence = new AbortController();
    let alarm;
    let frames = 0;
    const rearm = () => {
      clearTimeout(alarm);
      alarm = setTimeout(() => silence.abort(new Error("it has gone silent")), SILENCE_MS);
    };
    try {
      rearm();
      const response = await fetch(url, { signal: silence.signal, cache: "no-store" });
      if (!response.ok) throw new Error(await reason(response));
      for await (const data of events(response.body)) {
        rearm();
        failures = 0;
        frames += 1;
        onFrame(JSON.parse(data));
      }
      // Its successor may be there already.
      if (frames > 0) continue;
      onLost("it has ended the stream");
    } catch (error) {
      onLost(error instanceof TypeError ? "it cannot be reached" : error.message);
    } finally {
      clearTimeout(alarm);
      silence.abort();
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]));
  }
}

/** Asks for a change; returns what the proxy answers, or throws what it says against it. */
export async function put(url, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "PUT", headers, body: JSON.stringify(body) }).catch(() => {
    throw new Error("the proxy cannot be reached");
  });
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

/** What the admin server says in an error. */
export async function reason(response) {
  const body = await response.json().catch(() => ({}));
  return body.error ?? `it answers ${response.status}`;
}

/** The data of each event (WHATWG HTML section 9.2.6; all that this server sends are single lines). */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const complete = text.split("\n\n");
    text = complete.pop();
    for (const event of complete) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield data.slice(6);
    }
  }
}
