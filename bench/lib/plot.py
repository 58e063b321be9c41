"""Plots as SVG, by hand: bars for every row and proxy, and what more tunnels cost."""

from xml.sax.saxutils import escape

from . import rows, targets

FONT = 'font-family="DejaVu Sans, Verdana, sans-serif" font-size="11"'
US, PEER, KERNEL, INK, FAINT = "#b3261e", "#8aa0b4", "#c9d3dc", "#222222", "#666666"
BAR, GAP, NAME, VALUE, PANEL = 13, 4, 92, 62, 400
COLUMNS = 2


def text(x, y, words, anchor="start", colour=INK, weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">{escape(words)}</text>'


def box(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'


def page(width, height, drawn):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {FONT}>'
    return "\n".join([head, box(0, 0, width, height, "#ffffff"), *drawn, "</svg>"]) + "\n"


def panels(results):
    """Title, unit, digits and the value of each proxy, for every panel."""
    memory = results["memory"]
    if memory:
        yield rows.IDLE.title, "bytes each", 0, {name: one["each_bytes"] for name, one in memory.items()}
    for row in [*rows.TIMED, rows.TAIL]:
        if of_row := results["timed"].get(row.key):
            yield row.title, row.unit, row.digits, {name: one["median"] * row.scale for name, one in of_row.items()}
    if slow := results["slow"]:
        yield rows.SLOW.title, rows.SLOW.unit, rows.SLOW.digits, {n: one["median"] * rows.SLOW.scale for n, one in slow.items()}


def bars(results):
    """One panel for each row; shorter is better in all of them."""
    drawn, columns = [], [10.0] * COLUMNS
    for title, unit, digits, values in panels(results):
        column = columns.index(min(columns))
        x, y = 10 + column * PANEL, columns[column]
        drawn.append(text(x, y + 12, f"{title} ({unit})", weight="bold"))
        y += 20
        most = max(values.values())
        for name, value in sorted(values.items(), key=lambda item: item[1]):
            length = (PANEL - NAME - VALUE - 20) * value / most if most else 0
            drawn.append(text(x + NAME - 6, y + BAR - 3, name, "end"))
            drawn.append(box(x + NAME, y, length, BAR, US if name == targets.US else PEER))
            drawn.append(text(x + NAME + length + 5, y + BAR - 3, f"{value:,.{digits}f}", colour=FAINT))
            y += BAR + GAP
        columns[column] = y + 14
    return page(20 + COLUMNS * PANEL, max(columns), drawn)


def growth(results):
    """Resident and kernel memory of ever more idle tunnels, as bars beside each other."""
    steps = [*(results["growth"] or {"steps": []})["steps"]]
    steps += [stage for stage in results["many"].get(targets.US, {"stages": []})["stages"] if stage["tunnels"] > 9_000]
    most = max((step["resident_bytes"] + max(step["kernel_bytes"], 0) for step in steps), default=1)
    drawn = [text(10, 22, "Memory by idle tunnels: resident set and, in grey, the kernel's slabs (MB)", weight="bold")]
    y = 34
    for step in steps:
        resident, kernel = step["resident_bytes"], max(step["kernel_bytes"], 0)
        wide = lambda value: 560 * value / most
        drawn.append(text(NAME - 6, y + BAR, f"{step['tunnels']:,}", "end"))
        drawn.append(box(NAME, y, wide(resident), BAR + 4, US))
        drawn.append(box(NAME + wide(resident), y, wide(kernel), BAR + 4, KERNEL))
        told = f"{resident / 1e6:,.0f} + {kernel / 1e6:,.0f}"
        drawn.append(text(NAME + wide(resident + kernel) + 5, y + BAR, told, colour=FAINT))
        y += BAR + 4 + GAP
    return page(NAME + 560 + 130, y + 10, drawn)
