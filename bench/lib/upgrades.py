"""What bench/upgrade found, as a table and a picture of docs/upgrade.md."""

import collections
import re

from . import plot

BEGIN, END = "<!-- bench/upgrade: begin -->", "<!-- bench/upgrade: end -->"


def took(found):
    """Milliseconds from the last accept of the old process to the last connection that went, sorted."""
    return sorted(each["seconds"] * 1e3 for each in found["upgrades"])


def longest(found):
    """The longest pause of each upgrade in milliseconds, sorted."""
    return sorted(each["longest_pause_seconds"] * 1e3 for each in found["upgrades"])


def total(found):
    """How many connections of all upgrades waited for at most so many seconds, by the bounds of the series."""
    sums = collections.Counter()
    for each in found["upgrades"]:
        sums.update(each["pauses"])
    return sums


def middle(values):
    return values[len(values) // 2]


def publish(root, found):
    """Puts the figures into docs/upgrade.md, and draws its picture."""
    document = root / "docs" / "upgrade.md"
    text = document.read_text()
    new = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{tables(found)}\n{END}", text, flags=re.DOTALL)
    document.write_text(new)
    (root / "docs" / "images" / "upgrade.svg").write_text(picture(found["headpin"]))


def tables(found):
    headpin = found["headpin"]
    spread = lambda values, digits: " / ".join(f"{value:.{digits}f}" for value in (values[0], middle(values), values[-1]))
    memory = [headpin["memory_before_bytes"], max(each["memory_most_bytes"] for each in headpin["upgrades"]), headpin["memory_after_bytes"]]
    lines = [
        f"| {len(headpin['upgrades'])} upgrades, {found['tunnels']:,} tunnels, {found['rate']:,} messages a second | |",
        "| --- | --- |",
        f"| verified | {headpin['messages']:,} messages, {headpin['came_and_left']:,} tunnels that came and left, {headpin['requests']:,} requests |",
        f"| bytes wrong or lost, tunnels closed, connections refused, requests failed | {headpin['faults'] or '0'} |",
        f"| an upgrade took (minimum / median / maximum) | {spread(took(headpin), 0)} ms |",
        f"| its longest pause of a tunnel | {spread(longest(headpin), 1)} ms |",
        "| memory of all processes (PSS): before / at most, with two of them / after | {:.1f} / {:.1f} / {:.1f} MB |".format(*(m / 1e6 for m in memory)),
    ]
    if reloads := found.get("reloads"):
        most = max(each["memory_most_bytes"] for each in headpin["upgrades"])
        lines += [
            "",
            "The same tunnels across one reload as each unit does it, and what there is five seconds later:",
            "",
            "| | tunnels closed | processes before, after | resident set before, after |",
            "| --- | --- | --- | --- |",
            f"| headpin | 0 | 1, 1 (2 for {middle(took(headpin)):.0f} ms) | {memory[0] / 1e6:.0f} MB, {memory[2] / 1e6:.0f} MB ({most / 1e6:.0f} MB meanwhile) |",
        ]
        for one in reloads.values():
            processes, resident = one["processes"], one["resident_bytes"]
            lines.append(
                f"| {one['name']} {one['version']} | {one['closed']:,} | {processes[0]}, {processes[1]} | "
                f"{resident[0] / 1e6:.0f} MB, {resident[1] / 1e6:.0f} MB |"
            )
        lines += [
            "",
            "nginx and HAProxy close nobody: the old processes stay, with the old config, until the last of their tunnels ends, and every",
            "further reload leaves more of them behind.",
        ]
    return "\n".join(lines)


def picture(headpin):
    """The pauses of all connections, as the share that waited for at most so long."""
    sums = total(headpin)
    everything, before, bars = sums["+Inf"], 0, []
    for bound, count in sums.items():
        if count > before:
            bars.append((float(bound), (count - before) / everything))
        before = count
        if count == everything:
            break
    title = f"How long nobody looked after a tunnel: {everything:,} hand-overs of a connection in {len(headpin['upgrades'])} upgrades"
    drawn = [plot.text(10, 22, title, weight="bold")]
    most, y = max(share for _, share in bars), 34
    lower = 0.0
    for bound, share in bars:
        name = f"{lower * 1e3:g} to {bound * 1e3:g} ms"
        drawn.append(plot.text(plot.NAME + 14, y + plot.BAR - 1, name, "end"))
        drawn.append(plot.box(plot.NAME + 20, y, 460 * share / most, plot.BAR + 2, plot.US))
        drawn.append(plot.text(plot.NAME + 26 + 460 * share / most, y + plot.BAR - 1, f"{share:.1%}", colour=plot.FAINT))
        y += plot.BAR + 2 + plot.GAP
        lower = bound
    return plot.page(plot.NAME + 20 + 460 + 70, y + 10, drawn)
