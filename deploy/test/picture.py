"""The demo's run as a picture: what its Prometheus has, with a mark at each flip. SVG, light or dark as the reader has it."""

import html

WIDTH, HEIGHT = 860, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 844, 92, 340
MEGABYTE = 1_000_000
STYLE = """svg { --page: #fff; --text: #1d2125; --muted: #5f6870; --grid: #e4e6e8; --bug: #c8401e; --cure: #1769aa;
  font-family: system-ui, sans-serif; font-size: 13px; }
@media (prefers-color-scheme: dark) {
  svg { --page: #14171a; --text: #e7eaed; --muted: #9aa4ad; --grid: #343a40; --bug: #ff7a52; --cure: #62b0f0; } }"""


def draw(title, pinned, resident, flips):
    """`pinned` and `resident` are pairs of seconds since the beginning and bytes, `flips` of seconds, policy and how."""
    last = max(at for at, _ in pinned)
    most = max(value for _, value in resident)
    step = next(step for step in (10, 20, 50, 100, 200, 500) if most / MEGABYTE / step < 6)
    highest = (int(most / MEGABYTE / step) + 1) * step

    def x(at):
        return LEFT + at / last * (RIGHT - LEFT)

    def y(value):
        return BOTTOM - value / MEGABYTE / highest * (BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--page)"/>',
        text(16, 26, title, size=15),
        key(16, 46, "var(--bug)", "pinned bytes"),
        key(150, 46, "var(--cure)", "resident memory of the proxy"),
    ]
    for megabytes in range(0, highest + 1, step):
        at = y(megabytes * MEGABYTE)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{RIGHT}" stroke="var(--grid)"/>')
        parts.append(text(LEFT - 8, at + 4, f"{megabytes} MB", "var(--muted)", "end"))
    for seconds in range(0, int(last) + 1, 30):
        parts.append(text(x(seconds), BOTTOM + 20, f"{seconds} s", "var(--muted)", "middle"))
    line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in pinned)
    parts.append(
        f'<polygon points="{x(pinned[0][0]):.1f},{BOTTOM} {line} {x(last):.1f},{BOTTOM}" fill="var(--bug)" opacity=".18"/>'
    )
    for points, colour in ((pinned, "bug"), (resident, "cure")):
        line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="var(--{colour})" stroke-width="2"/>')
    for number, (at, policy, how) in enumerate(flips):
        colour = "var(--bug)" if policy == "pin" else "var(--cure)"
        parts.append(
            f'<path d="M{x(at):.1f} {TOP - 8}V{BOTTOM}" stroke="{colour}" stroke-width="1.5" stroke-dasharray="5 4"/>'
        )
        # Two rows in turn, so that neighbours do not lie on each other.
        parts.append(text(x(at), TOP - 12 - 16 * (number % 2), f"{policy}: {how}", colour, "middle", 12))
    return "\n".join([*parts, "</svg>\n"])


def text(x, y, what, colour="var(--text)", anchor="start", size=13):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}">{html.escape(what)}</text>'


def key(x, y, colour, what):
    return f'<path d="M{x} {y - 4}h20" stroke="{colour}" stroke-width="3"/>' + text(x + 28, y, what)
