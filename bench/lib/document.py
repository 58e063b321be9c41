"""Fills the marked parts of docs/performance.md and README.md from results."""

import re

from . import judge, load, rows, targets

MARK = "<!-- {}:{} -->"
GIB = 1 << 30
# What the operating system and the proxy's base take of a machine of 64 GiB.
RESERVED = 4 * GIB
# Parts of a run, as they are told of.
PARTS = {
    "timed": "rows in time and the tail",
    "memory": "memory and slow readers",
    "policies": "`pin` against `copy`",
    "routes": "more routes",
    "growth": "growth and scrapes",
    "many": "several processes on one port",
}


def fill(text, parts):
    """The text with each marked part replaced; a mark that is missing is an error."""
    for name, part in parts.items():
        begin, end = MARK.format(name, "begin"), MARK.format(name, "end")
        found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not found.search(text):
            raise ValueError(f"no part {begin} … {end} to fill")
        text = found.sub(lambda _, part=part: f"{begin}\n{part.rstrip()}\n{end}", text, count=1)
    return text


def table(head, body, right=()):
    """A table in Markdown; the columns in `right` are numbers."""
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("| " + " | ".join("---:" if index in right else "---" for index in range(len(head))) + " |")
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(lines)


def parts(results):
    """Every part of docs/performance.md."""
    return {
        "targets": main_table(results),
        "machine": machine(results),
        "all": everybody(results),
        "correct": correctness(results),
        "saturated": saturated(results),
        "growth": growth(results),
        "many": many(results),
        "capacity": capacity(results),
    }


def word(met):
    return {True: "met", False: "**not met**", None: "no peer"}[met]


def main_table(results):
    body = [
        [line.title, line.unit, line.ours, line.peer, line.ratio, line.target, word(line.met)]
        for line in targets.lines(results)
    ]
    met = [line.met for line in targets.lines(results)]
    count = f"{met.count(True)} of {len(met)} targets are met."
    return table(["work", "unit", "headpin", "peer", "ratio", "to reach", ""], body, (2, 4)) + f"\n\n{count}"


def short(results):
    """The part of README.md."""
    body = [[line.title, line.unit, line.ours, line.peer, line.ratio] for line in targets.lines(results) if line.peer]
    where = results["machine"]
    peers = ", ".join(f"{name} {one['version']}" for name, one in results["contenders"].items() if name != targets.US)
    return (
        table(["work", "unit", "headpin", "peer", "ratio"], body, (2, 4))
        + f"\n\nMedians of {results['settings']['rounds']} rounds on one machine with {where['cores']} cores, beside {peers}. "
        + "[docs/performance.md](docs/performance.md) has every figure, how it was measured, and what is not reached yet."
    )


def machine(results):
    where, settings = results["machine"], results["settings"]
    versions = table(
        ["proxy", "version"],
        [[name + (f" ({one['note']})" if one["note"] else ""), one["version"]] for name, one in results["contenders"].items()],
    )
    skipped = "".join(f"\n- {name} was skipped: {why}." for name, why in results["skipped"].items())
    return (
        f"{where['processor']}, {where['cores']} cores, {where['memory_bytes'] / GIB:.0f} GiB, "
        f"{where['kernel']}. {load.TLS.replace('_', chr(92) + '_')}, ECDSA P-256, tickets on, every handshake a full one "
        f"where a row does not say that it resumes. "
        f"Loopback in {where['network']}. Two workers each. {settings['rounds']} rounds of {settings['seconds']} s.\n\n{runs(results)}\n\n{versions}"
        + (f"\n{skipped}" if skipped else "\n\nNo peer was skipped.")
    )


def runs(results):
    """When what was measured, and beside what."""
    lines = [
        f"- {run['date']}: {', '.join(PARTS[part] for part in run['parts'])}; {run['seconds'] / 60:.0f} minutes, in which other work on the "
        f"machine took {run['others_cores']:.2f} cores; {run['program']}."
        for run in results["runs"]
    ]
    return "\n".join(lines)


def everybody(results):
    """Every row for every proxy: medians."""
    chosen = [row for row in [*rows.TIMED, rows.TAIL] if row.key in results["timed"]]
    memory, slow = results["memory"], results["slow"]
    names = [name for name in results["contenders"] if any(name in of for of in (*results["timed"].values(), memory, slow))]
    body = []
    for name in names:
        row = [name]
        row.append(f"{memory[name]['each_bytes']:,.0f}" if name in memory else "")
        for each in chosen:
            of_row = results["timed"][each.key]
            few = name in of_row and judge.doubtful(of_row[name], each)
            row.append(f"{of_row[name]['median'] * each.scale:,.{each.digits}f}{'?' * few}" if name in of_row else "")
        row.append(f"{slow[name]['median'] * rows.SLOW.scale:,.1f}" if name in slow else "")
        row.append(f"{memory[name]['back_ratio']:.2f}" if name in memory else "")
        body.append(row)
    head = ["", "idle, B", *(f"{row.title}, {row.unit}" for row in chosen), "slow reader, KB", "5 s after, of the start"]
    # Proxies as columns: there are fewer of them than rows.
    turned = [list(column) for column in zip(head, *body, strict=True)]
    return table(turned[0], turned[1:], range(1, len(turned[0])))


def correctness(results):
    """Who lost bytes or tunnels."""
    heads = results["timed"].get("heads", {})
    new = results["timed"].get("new", {})
    body = []
    for name in heads:
        failed = sum(new[name]["faults"].values()) if name in new else 0
        tried = new[name]["units"] + failed if name in new else 0
        elsewhere = sum(
            sum(one[name]["faults"].values()) for key, one in results["timed"].items() if key not in ("heads", "new") and name in one
        )
        body.append([name, f"{heads[name]['median']:.0f} of 100", f"{failed:,} of {tried:,}", f"{elsewhere:,}"])
    return table(["proxy", "heads lost", "new connections that failed", "faults in all other rows"], body, (1, 2, 3))


def saturated(results):
    body = []
    for row in [*rows.TIMED, rows.TAIL]:
        of_row = results["timed"].get(row.key, {})
        if targets.US not in of_row:
            continue
        cores = of_row[targets.US]["cores"]
        best = judge.best_peer(of_row, targets.peers_of(of_row), row)
        theirs = f"{of_row[best]['cores']['proxy']:.2f}" if best else ""
        body.append(
            [
                row.title,
                f"{cores['proxy']:.2f}",
                theirs,
                f"{cores['generator']:.2f}",
                f"{cores['origin']:.2f}",
                f"{cores['generator_waits']:.0%}",
                targets.timed.saturated(cores),
            ]
        )
    head = ["work", "headpin", "its best peer", "generator", "origin", "generator waits for a core", "saturated"]
    return table(head, body, range(1, 6))


def growth(results):
    if not results["growth"]:
        return "Not measured."
    steps = [*results["growth"]["steps"]]
    if ours := results["many"].get(targets.US):
        steps.append(ours["last"])
    body = []
    for step in steps:
        few = step["tunnels"] < 100
        body.append(
            [
                f"{step['tunnels']:,}",
                f"{step['resident_bytes'] / 1e6:,.1f}",
                "" if few else f"{step['each_bytes']:,.0f}",
                "" if few else f"{step['kernel_bytes'] / 1e6:,.1f}",
                "" if few else f"{step['kernel_each_bytes']:,.0f}",
                f"{step['idle_cpu_seconds_a_second'] * 100:.2f}",
                f"{step['echo_cpu_us']:.2f}",
                f"{step['new_cpu_us']:.0f}",
            ]
        )
    head = ["idle tunnels", "resident, MB", "B each", "kernel, MB", "B each", "CPU doing nothing, % of a core"]
    head += ["echo 128 B, µs CPU", "new connection, µs CPU"]
    return table(head, body, range(len(head)))


def many(results):
    if not results["many"]:
        return "Not measured."
    body = []
    for name, one in results["many"].items():
        for stage in one["stages"]:
            body.append(
                [
                    name,
                    f"{stage['tunnels']:,}",
                    f"{stage['opened_per_second']:,.0f}",
                    f"{stage['opening_cpu_us']:,.0f}",
                    f"{stage['each_bytes']:,.0f}",
                    f"{stage['kernel_each_bytes']:,.0f}",
                ]
            )
        errors = sum(one["faults"].values())
        body.append([name, f"{errors} errors", "", "", "", ""])
    head = ["proxy", "tunnels", "opened a second", "µs CPU each", "resident, B each", "kernel, B each"]
    return table(head, body, range(1, 6))


def capacity(results):
    """What a machine of 64 GiB would hold: arithmetic on the growth."""
    ours = results["many"].get(targets.US, {}).get("last") or (results["growth"] or {"steps": [None]})["steps"][-1]
    if not ours or ours["tunnels"] < 100:
        return "Not measured."
    user, kernel = ours["each_bytes"], ours["kernel_each_bytes"]
    fits = (64 * GIB - RESERVED) / (user + kernel)
    handshakes = fits * ours["new_cpu_us"] / 1e6 / 60
    processes = -(-fits // 500_000)
    return (
        f"With {ours['tunnels']:,} tunnels each took {user:,.0f} B in the process and {kernel:,.0f} B in the kernel, "
        f"{user + kernel:,.0f} B together. 64 GiB less {RESERVED // GIB} for everything else are "
        f"**{fits / 1e6:.1f} million idle tunnels**: arithmetic, not a measurement. "
        f"For all of them to connect anew would take {handshakes:,.0f} minutes of one core. They need "
        f"{2 * fits / 1e6:.0f} million files, {processes:.0f} processes of 500,000 tunnels, and towards the origins "
        f"{-(-fits // 28_000):.0f} pairs of addresses with 28,000 ports each."
    )
