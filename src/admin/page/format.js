// Figures as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Three digits and a binary unit. */
export function bytes(count) {
  let unit = 0;
  let value = count;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** With thousands apart. */
export const count = (number) => Math.round(number).toLocaleString("en-GB");

/** `1 slab`, `2 slabs`. */
export const several = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** `+1.5 %`. */
export const percent = (ratio, sign = false) =>
  `${sign && ratio > 0 ? "+" : ""}${(ratio * 100).toFixed(Math.abs(ratio) < 0.1 ? 1 : 0)} %`;

/** Seconds as `5 s`, `3 min 5 s`, `2 h 7 min`, `3 d 4 h`. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Seconds as `0.42 ms`, `12 ms`, `1.5 s`; a dash before the first. */
export function latency(seconds) {
  if (!seconds) return "–";
  if (seconds >= 0.9995) return `${seconds.toFixed(1)} s`;
  const ms = seconds * 1000;
  return `${ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0)} ms`;
}

/** The time of day of a Unix time in seconds, in the viewer's zone. */
export const clock = (unixSeconds) => new Date(unixSeconds * 1000).toLocaleTimeString("en-GB");
