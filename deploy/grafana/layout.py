"""Panels, rows and variables as Grafana's classic dashboard JSON has them."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = 'job=~"$job", instance=~"$instance"'
GRID_COLUMNS = 24


def expression(text):
    return text.replace("@", MATCHERS)


def mapping(texts):
    """Value mappings: number to text and colour."""
    options = {str(value): {"text": text, "color": colour} for value, (text, colour) in texts.items()}
    return [{"type": "value", "options": options}]


def override(series, unit=None, right=False, unstacked=False):
    """What is other for `series`: a legend, or a regular expression between slashes."""
    properties = []
    if unit:
        properties.append({"id": "unit", "value": unit})
    if right:
        properties.append({"id": "custom.axisPlacement", "value": "right"})
    if unstacked:
        properties.append({"id": "custom.stacking", "value": {"mode": "none"}})
        properties.append({"id": "custom.fillOpacity", "value": 0})
        properties.append({"id": "custom.lineWidth", "value": 2})
        properties.append({"id": "color", "value": {"mode": "fixed", "fixedColor": "text"}})
    matcher = "byRegexp" if series.startswith("/") else "byName"
    return {"matcher": {"id": matcher, "options": series}, "properties": properties}


def _panel(kind, title, description, queries, defaults, options, overrides=()):
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "expr": expression(expr),
            "legendFormat": legend,
            "range": kind != "stat",
            "instant": kind == "stat",
        }
        for place, (expr, legend) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        "targets": targets,
    }


def stat(title, description, queries, unit=None, mappings=None, thresholds=None, shows="auto"):
    """One figure, coloured by mapping or threshold."""
    steps = [{"value": value, "color": colour} for value, colour in thresholds or [(None, "text")]]
    defaults = {"unit": unit or "none", "thresholds": {"mode": "absolute", "steps": steps}}
    if mappings:
        defaults["mappings"] = mappings
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": shows,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return _panel("stat", title, description, queries, defaults, options)


def line(title, description, queries, unit, overrides=(), **custom):
    """Lines over time."""
    defaults = {
        "unit": unit,
        "min": 0,
        "custom": {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "never",
            "spanNulls": False,
            **custom,
        },
    }
    if unit == "percentunit":
        del defaults["min"]
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
            # There is room for three lines, and the rest is below: first what has moved.
            "sortBy": "Max",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, queries, defaults, options, overrides)


def step(title, description, queries, unit):
    """What changes at once and stays: no slope between two values."""
    return line(title, description, queries, unit, lineInterpolation="stepAfter")


def stacked(title, description, queries, unit, overrides=()):
    """Areas that add up."""
    return line(
        title, description, queries, unit, overrides, stacking={"mode": "normal", "group": "A"}, fillOpacity=40, lineWidth=0
    )


def row(title, *panels, columns=None, height=8):
    """A row of the dashboard; as many lines of panels below it as `columns` makes of them."""
    return {"title": title, "panels": panels, "columns": columns or len(panels), "height": height}


def placed(rows):
    """The flat list that Grafana wants, with ids and places."""
    panels, y = [], 0

    def place(panel, x, width, height):
        panels.append({"id": len(panels) + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **panel})

    for each in rows:
        place({"type": "row", "title": each["title"], "collapsed": False, "panels": []}, 0, GRID_COLUMNS, 1)
        y += 1
        columns, width = each["columns"], GRID_COLUMNS // each["columns"]
        for start in range(0, len(each["panels"]), columns):
            for column, panel in enumerate(each["panels"][start : start + columns]):
                place(panel, column * width, width, each["height"])
            y += each["height"]
    return panels


def annotation(name, colour, expr, title):
    """A mark on all panels where `expr` has a value above 0.

    Newer Grafanas ask `target`, older ones `expr` and `step`.
    """
    expr, least_step = expression(expr), "15s"
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "target": {"refId": "Anno", "expr": expr, "interval": least_step},
        "expr": expr,
        "step": least_step,
        "titleFormat": title,
        "textFormat": "{{instance}}",
    }


def variables():
    """The data source, and what the community's dashboards choose by: job and instance."""

    def query(name, text):
        return {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "query": text,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "current": {"text": "All", "value": "$__all"},
        }

    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return [
        {**source, "refresh": 1, "current": {}},
        query("job", "label_values(headpin_build_info, job)"),
        query("instance", 'label_values(headpin_build_info{job=~"$job"}, instance)'),
    ]
