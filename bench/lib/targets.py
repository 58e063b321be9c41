"""The lines of the main table: what headpin took, what the best peer of the same run took, and what is to be reached."""

import dataclasses

from . import judge, rows, timed

US = "headpin"
# As far as a line may move by noise alone and still count as the same.
SAME = 1.03
NO_BUMP = 1.10
FULL_RATE = 0.9
SCRAPE_MS = 10


@dataclasses.dataclass
class Line:
    """One row of the table. `met` is `None` where there was nothing to compare with."""

    title: str
    unit: str
    ours: str
    peer: str
    ratio: str
    target: str
    met: bool | None
    saturated: str = ""


def lines(results):
    """All lines that the results have figures for, in the table's order."""
    found = [
        *from_memory(results, rows.IDLE, "each_bytes", f"at most {rows.IDLE.limit:,.0f} B"),
        *from_timed(results, rows.TIMED),
        *from_slow(results),
        *from_memory(results, rows.BACK, "back_ratio", "at most 1.10"),
        *from_timed(results, [rows.TAIL]),
        *from_many(results),
        *from_policies(results),
        *from_routes(results),
        *from_scrape(results),
    ]
    return found


def peers_of(of_row):
    return [name for name in of_row if not name.startswith(US)]


def shown(value, digits):
    return f"{value:,.{digits}f}"


def shown_spread(one, row):
    """The median, and the range if there were several runs."""
    text = shown(one["median"] * row.scale, row.digits)
    if len(one["values"]) < 2:
        return text
    return f"{text} ({shown(one['least'] * row.scale, row.digits)} to {shown(one['most'] * row.scale, row.digits)})"


def shown_ratio(ratio):
    if ratio is None:
        return ""
    if ratio["least"] == ratio["most"]:
        return f"{ratio['median']:.2f}"
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"


def line(row, of_row, target, unit=None):
    told = judge.verdict(row, of_row, US, peers_of(of_row))
    name = told["peer"]
    peer = f"{name} {shown_spread(of_row[name], row)}" if name else "none"
    return Line(row.title, unit or row.unit, shown_spread(of_row[US], row), peer, shown_ratio(told["ratio"]), target, told["met"])


def from_timed(results, chosen):
    for row in chosen:
        of_row = results["timed"].get(row.key)
        if not of_row or US not in of_row:
            continue
        target = "no worse" if row.most == 1.0 else f"at most {row.most:g} of {row.against or 'it'}"
        told = line(row, of_row, target)
        if row is rows.TAIL:
            told.title += f", {results['tail_rate']:,} a second"
        told.saturated = timed.saturated(of_row[US]["cores"])
        yield told


def from_memory(results, row, figure, target):
    of_row = {name: judge.spread([one[figure]]) for name, one in results["memory"].items()}
    if US in of_row:
        told = line(row, of_row, target)
        if row is rows.IDLE:
            told.title += f", {results['memory'][US]['tunnels']:,} of them"
        yield told


def from_slow(results):
    if US in results["slow"]:
        yield line(rows.SLOW, results["slow"], f"at most {rows.SLOW.limit:g} KB")


def from_many(results):
    ours = results["many"].get(US)
    if not ours:
        return
    peer = next((name for name in results["many"] if name != US), None)
    theirs = results["many"].get(peer)
    each = lambda one: one["last"]["each_bytes"]
    title = f"{ours['last']['tunnels']:,} idle tunnels over {ours['processes']} processes on one port"
    ratio = f"{each(ours) / each(theirs):.2f}" if theirs else ""
    shown_peer = f"{peer} {each(theirs):,.0f}" if theirs else "none"
    limit = rows.IDLE.limit
    yield Line(title, rows.IDLE.unit, f"{each(ours):,.0f}", shown_peer, ratio, f"at most {limit:,.0f} B", each(ours) <= limit)
    rates = [stage["opened_per_second"] for stage in ours["stages"]]
    slowest = f"{min(rates):,.0f}"
    theirs_slowest = f"{peer} {min(stage['opened_per_second'] for stage in theirs['stages']):,.0f}" if theirs else "none"
    faults = sum(ours["faults"].values())
    met = min(rates) >= FULL_RATE * rates[0] and faults == 0
    yield Line(
        f"their handshakes, in the slowest of {len(rates)} stages ({rates[0]:,.0f} in the first), {faults} errors",
        "new tunnels a second",
        slowest,
        theirs_slowest,
        "",
        f"at least {FULL_RATE:g} of the first stage's, no error",
        met,
    )


def from_policies(results):
    for key, one in results["policies"].items():
        title = next(row.title for row in rows.TIMED if row.key == key)
        ratio = one["ratio"]["median"]
        met = 1 / SAME <= ratio <= SAME
        yield Line(
            f"`pin` against `copy`, {title}",
            "ratio of CPU",
            f"{ratio:.3f} ({one['ratio']['least']:.2f} to {one['ratio']['most']:.2f})",
            "",
            "",
            "within 3 %",
            met,
        )


def from_routes(results):
    for key, by_count in results.get("routes", {}).items():
        row = next(row for row in rows.TIMED if row.key == key)
        (few, one), *more = by_count.items()
        for count, many in more:
            yield Line(
                f"{int(count):,} routes against {few}, {row.title}",
                row.unit,
                shown_spread(many, row),
                f"with {few} {shown_spread(one, row)}",
                shown_ratio(many["ratio"]),
                "not above it in every round",
                # Single rounds differ by a third on a machine that others use as well: growth is what all of them show.
                many["ratio"]["least"] <= 1,
            )


def from_scrape(results):
    if not (told := results["scrape"]):
        return
    cost, tail = told["cost"], told["tail"]
    tunnels = f"{told['tunnels']:,}"
    yield Line(
        f"metrics scrape beside {tunnels} tunnels",
        "ms of the workers' time",
        f"{cost['worker_ms']:.3f} (admin's thread {cost['admin_ms']:.1f})",
        "",
        "",
        f"under {SCRAPE_MS} ms",
        cost["worker_ms"] < SCRAPE_MS,
    )
    quiet, asked = tail["without"], tail["with"]
    # A bump is more than noise: above the worst that was seen without a scrape.
    met = asked["median"] <= max(NO_BUMP * quiet["median"], quiet["most"])
    yield Line(
        f"p99 of echo beside {tunnels} tunnels, with scrapes",
        "µs",
        shown_spread(asked, rows.TAIL),
        f"without {shown_spread(quiet, rows.TAIL)}",
        f"{asked['median'] / quiet['median']:.2f}",
        "no bump",
        met,
    )
