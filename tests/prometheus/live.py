"""A real Prometheus scrapes the proxy while the story runs; then everything that asks it must get an answer."""

import contextlib
import json
import math
import re
import subprocess
import time

import story
from dashboard import targets
from programs import PATIENCE_SECONDS, Failed, Prometheus, eventually, listening_port, running

# Four scrapes, as Grafana makes it of the scrape interval.
VARIABLES = {"$__rate_interval": "4s", "$job": ".+", "$instance": ".+"}


@contextlib.contextmanager
def prometheus(deploy, place, admin):
    """Debian's Prometheus with the config of deploy/, but another target and a second where that has 15."""
    text = (deploy / "prometheus.yml").read_text()
    for old, new in [("headpin:9900", admin), ("_interval: 15s", "_interval: 1s"), ("rules/", f"{deploy}/rules/")]:
        if old not in text:
            raise Failed(f"prometheus.yml has no {old!r} to replace")
        text = text.replace(old, new)
    config = place / "prometheus.yml"
    config.write_text(text)
    storage = f"--storage.tsdb.path={place / 'data'}"
    argv = ("prometheus", f"--config.file={config}", storage, "--web.listen-address=127.0.0.1:0")
    with running(place / "prometheus.log", *argv) as child:
        yield Prometheus(listening_port(child))


def filled(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    if "$" in expression:
        raise Failed(f"a variable that is not known here: {expression}")
    return expression


def queries(board, rules):
    """Name, and how to ask, of everything that must have data."""
    for panel, target in targets(board):
        kind = "query" if target["instant"] else "query_range"
        yield f"panel {panel['title']!r}: {target['expr']}", kind, filled(target["expr"])
    for each in board["annotations"]["list"]:
        if "target" in each:
            yield f"annotation {each['name']!r}", "query_range", filled(each["target"]["expr"])
    for rule in rules:
        if rule["type"] == "recording":
            yield f"recording rule {rule['name']}", "query", rule["name"]


def has_data(server, kind, expression, start):
    """Whether there is a series with a number in it; NaN is what a division by nothing gives."""
    times = {} if kind == "query" else {"start": start, "end": time.time(), "step": 1}
    result = server.ask(kind, query=expression, **times)["result"]
    values = (value for series in result for _, value in series.get("values") or [series["value"]])
    return any(math.isfinite(float(value)) for value in values)


def choices(server, variable):
    """What a template variable offers."""
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
    return server.ask(f"label/{asked[2]}/values", **{"match[]": filled(asked[1])})


def story_as_seen(server, start):
    """The curve of the dashboard: up from 0 under pin, and back to 0 under copy."""
    curve = [value for _, value in server.since(start, "sum(headpin_slab_pinned_bytes)")[0]]
    pinning = [value for _, value in server.since(start, 'max(headpin_head_policy{policy="pin"})')[0]]
    highest = max(curve)
    if not (curve[0] == 0 and curve[-1] == 0 and highest >= story.PINNED_SLABS * story.SLAB_BYTES):
        raise Failed(f"the curve of pinned bytes is no rise and fall: {curve}")
    if pinning[0] != 0 or pinning[-1] != 0 or max(pinning) != 1:
        raise Failed(f"the policy went not from copy to pin and back: {pinning}")
    return f"as a curve: 0, up to {highest:.0f}, 0 pinned bytes"


def check(suite, top, headpin, place):
    """Everything that needs a running proxy; tells `suite` how it went."""
    deploy = top / "deploy"
    board = json.loads((deploy / "grafana" / "dashboards" / "headpin.json").read_text())
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(story.proxy(headpin, place))
        server = stack.enter_context(prometheus(deploy / "prometheus", place, proxy.admin))
        eventually("the first scrape", lambda: server.now('up{job="headpin"} == 1'))
        start = time.time()
        for held in story.tell(proxy, server):
            suite.passed(held)
        suite.passed(story_as_seen(server, start))
        rules = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
        suite.expect("every rule is evaluated without an error", [r["name"] for r in rules if r["health"] != "ok"])
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                empty = [] if choices(server, variable) else [variable["query"]]
                suite.expect(f"variable {variable['name']} offers something", empty)
        suite.expect("every query has data", empty_ones(server, list(queries(board, rules)), start))
        lint = subprocess.run(
            [top / "tests" / "interop" / "metrics", f"http://{proxy.admin}/metrics"], capture_output=True, text=True
        )
        suite.expect("promtool check metrics", lint.stdout.splitlines() if lint.returncode else [])
    suite.expect("the proxy drained and ended with 0", [] if proxy.child.returncode == 0 else [proxy.child.returncode])


def empty_ones(server, asked, start):
    """Names of the queries that had no data before patience was over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        asked = [each for each in asked if not has_data(server, *each[1:], start)]
        if not asked or time.monotonic() > deadline:
            return [name for name, *_ in asked]
        time.sleep(0.5)
