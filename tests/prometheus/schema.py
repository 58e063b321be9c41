"""Holds the dashboard against Grafana's schema: its foundation SDK reads it into Grafana's types and writes it again, and
nothing may be lost or changed by that. What the SDK does not know it drops, and Grafana would not know it either. Every
value must be of the type that the schema gives it; of an enumeration it must be a member.

Run by `run` with the Python that has requirements.txt; prints one fault a line.
"""

import enum
import json
import re
import sys
import types
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

NOT_IN_THE_SCHEMA = re.compile(
    # Null for a dashboard that is new; the SDK leaves it out.
    r"\.id$"
    # An annotation's query is the data source's own; the schema has only that of the built-in one.
    r"|\.annotations\.list\[\d+\]\.(target\.(expr|refId|interval)|step|titleFormat|textFormat)$"
)


def lost(before, after, place=""):
    """Places of `before` that `after` lacks or has another value for. What is new in `after` is a default."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after[key], f"{place}.{key}") if key in after else [f"{place}.{key}"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}[{index}]")
    elif before != after:
        yield place


def mistyped(value, wanted, place):
    """Places whose value is not of the type that the schema gives it."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        tried = [list(mistyped(value, one, place)) for one in inner]
        yield from min(tried, key=len)
    elif origin is list and isinstance(value, list):
        for index, one in enumerate(value):
            yield from mistyped(one, inner[0], f"{place}[{index}]")
    elif origin is dict and isinstance(value, dict):
        for key, one in value.items():
            yield from mistyped(one, inner[1], f"{place}.{key}")
    elif isinstance(wanted, type) and not is_a(value, wanted):
        yield f"{place} = {value!r}"
    elif hasattr(value, "to_json"):
        yield from members(value, place)


def is_a(value, wanted):
    if issubclass(wanted, enum.Enum):
        return value in [member.value for member in wanted]
    # In Python a bool is an int, and in JSON 1 is a float.
    if isinstance(value, bool):
        return wanted in (bool, object)
    return isinstance(value, (int, float) if wanted is float else wanted)


def members(thing, place):
    hints = typing.get_type_hints(type(thing))
    for name, value in vars(thing).items():
        yield from mistyped(value, hints.get(name, object), f"{place}.{name}")


def main(path):
    register_default_plugins()
    with open(path) as file:
        board = json.load(file)
    try:
        read = Dashboard.from_json(board)
        again = json.loads(JSONEncoder().encode(read))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"not readable: {error!r}"]
    changed = [place for place in lost(board, again) if not NOT_IN_THE_SCHEMA.search(place)]
    return [*changed, *members(read, "")]


print(*main(sys.argv[1]), sep="\n", end="")
