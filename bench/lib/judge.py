"""Medians, ranges, ratios to the best peer, and whether a target is met."""

import statistics

# Messages or connections in all rounds.
FEW = 100


def spread(values):
    """Median and range of what several runs gave."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "values": list(values)}


def doubtful(one, row):
    """Whether so little was done that processor time, which comes in hundredths of a second, is mostly rounding."""
    return row.kind in ("churn", "echo") and one.get("units", FEW) < FEW


def best_peer(of_row, peers, row):
    """The peer with the lowest median that says something; `None` if there is none."""
    there = [name for name in peers if name in of_row and not doubtful(of_row[name], row)]
    return min(there, key=lambda name: of_row[name]["median"], default=None)


def ratio(ours, theirs):
    """The ratio of the medians, and the range of what single rounds gave: those were minutes, not hours, apart."""
    pairs = [mine / other for mine, other in zip(ours["values"], theirs["values"], strict=False) if other]
    if not pairs or not theirs["median"]:
        return None
    return {"median": ours["median"] / theirs["median"], "least": min(pairs), "most": max(pairs)}


def measure_of(of_row, peers, row):
    """Whom the row's target is about: the peer that it names, or the best one."""
    return best_peer(of_row, [name for name in peers if row.against in ("", name)], row)


def verdict(row, of_row, us, peers):
    """What the table says of a row."""
    peer = measure_of(of_row, peers, row)
    ours = of_row[us]
    against = ratio(ours, of_row[peer]) if peer else None
    met = None
    if row.limit is not None:
        met = ours["median"] * row.scale <= row.limit
    elif row.most is not None and against:
        met = against["median"] <= row.most
    return {"peer": peer, "ratio": against, "met": met}
