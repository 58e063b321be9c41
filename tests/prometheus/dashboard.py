"""Conventions of the dashboard: what grafana/dashboard-linter asks for, as far as it applies to Prometheus.

This is not that linter, which is a Go program: these checks follow the descriptions of its rules and have their names.
That an expression is PromQL (target-promql) Prometheus itself says, in live.py.
"""

import re

FIGURES = ("stat", "timeseries")
UNITS = {
    "none", "short", "percentunit", "bytes", "Bps", "s", "ops", "cps", "mps", "reqps",
    "dateTimeFromNow", "dtdurations", "bool_yes_no",
}  # fmt: skip
SERIES = re.compile(r"\b(?:headpin|process)_\w+")


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard):
    """Panel and target of every query."""
    return [(panel, target) for panel in panels(dashboard) for target in panel.get("targets", [])]


def faults(dashboard):
    """What breaks a convention, one text each."""
    yield from _of_dashboard(dashboard)
    for panel in panels(dashboard):
        yield from (f"panel {panel.get('title')!r}: {fault}" for fault in _of_panel(panel))
    for panel, target in targets(dashboard):
        yield from (f"{panel['title']!r}, {target['expr']}: {fault}" for fault in _of_expression(target["expr"]))
    for each in dashboard["annotations"]["list"]:
        if "target" in each:
            yield from (f"annotation {each['name']!r}: {fault}" for fault in _matchers(each["target"]["expr"]))


def _of_dashboard(dashboard):
    if dashboard.get("editable") is not False:
        yield "uneditable-dashboard: editable is not false"
    if dashboard.get("id", "missing") is not None or not dashboard.get("uid"):
        yield "id is not null, or there is no uid"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        yield "two panels have one id"
    variables = dashboard["templating"]["list"]
    sources = [each for each in variables if each["type"] == "datasource"]
    if [(each["name"], each["label"], each["query"]) for each in sources] != [("datasource", "Data source", "prometheus")]:
        yield "template-datasource: not one variable 'datasource' with the label 'Data source'"
    by_name = {each["name"]: each for each in variables}
    for name in ("job", "instance"):
        each = by_name.get(name, {})
        wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+", "refresh": 2}
        for key, value in wanted.items():
            if each.get(key) != value:
                yield f"template-{name}: {key} is {each.get(key)!r}, not {value!r}"
        if each.get("datasource", {}).get("uid") != "${datasource}":
            yield f"template-{name}: does not use ${{datasource}}"


def _of_panel(panel):
    if panel["type"] not in FIGURES:
        yield f"type {panel['type']!r} is none that is known here"
    if not panel.get("title") or not panel.get("description"):
        yield "panel-title-description: one is missing"
    if not panel.get("targets"):
        yield "panel-no-targets"
    for place in [panel, *panel.get("targets", [])]:
        if place.get("datasource", {}).get("uid") != "${datasource}":
            yield "panel-datasource: not ${datasource}"
    defaults = panel["fieldConfig"]["defaults"]
    if defaults.get("unit") not in UNITS or (defaults["unit"] == "none" and not defaults.get("mappings")):
        yield f"panel-units: {defaults.get('unit')!r}"
    if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
        yield "it is wider than the grid"


def _matchers(expression):
    for found in SERIES.finditer(expression):
        selector = re.match(r"\{([^}]*)\}", expression[found.end() :])
        for label in ("job", "instance"):
            if not selector or f'{label}=~"${label}"' not in selector[1]:
                yield f"target-{label}: {found[0]} lacks its matcher"


def _of_expression(expression):
    yield from _matchers(expression)
    for counter in re.finditer(r"(\w*\(?)\b\w+_(?:total|bucket)\{[^}]*\}", expression):
        if counter[1] not in ("rate(", "irate(", "increase("):
            yield f"target-counter-agg: {counter[0]}"
    for interval in re.findall(r"\[([^\]]*)\]", expression):
        if interval != "$__rate_interval":
            yield f"target-rate-interval: [{interval}]"
