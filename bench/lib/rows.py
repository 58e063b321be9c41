"""The rows of the table: which work each is, what is taken from its report, and what is to be reached."""

import dataclasses

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of work, done by every proxy.

    `most` is the highest ratio to the best peer that meets the target, or to the peer that `against` names; `limit` the highest
    value that does.
    """

    key: str
    title: str
    unit: str
    kind: str = ""
    options: tuple = ()
    path: str = ""
    figure: object = None
    most: float | None = None
    limit: float | None = None
    against: str = ""
    # Every connection must resume a session, but for the first that each of `--parallel` makes.
    resumes: bool = False
    digits: int = 2
    # From the figure's own unit to that of the table.
    scale: float = 1.0


def cpu(report):
    """Microseconds of processor time for each unit of work."""
    return report["process"]["cpu_us_per_unit"]


def p99(report):
    return report["latency"]["p99_us"]


def growth(report):
    """From before a connection was open to the most that was seen, in bytes for each."""
    process = report["process"]
    return (process["peak_rss_bytes"] - process["before"]["rss_bytes"]) / report["connections"]["opened"]


def echo(key, title, most, digits, *options, against=""):
    return Row(key, title, "µs CPU a message", "echo", options, figure=cpu, most=most, digits=digits, against=against)


def transfer(kind, over, most):
    # A proxy has no more than this many connections to the origin, whatever it shares.
    options = ("-n", "4", "--size", "16MiB", "--over", over)
    inside = "requests" if over == "http" else "WebSocket messages"
    title = f"{kind}, in {inside}"
    return Row(f"{kind}-{over}", title, "s CPU a GB", kind, options, figure=cpu, most=most, digits=3, scale=1e-6)


NEW = Row("new", "new connection", "µs CPU", "churn", ("--parallel", "8"), figure=cpu, most=0.5, digits=0)
RESUMED = Row(
    "resumed",
    "new connection that resumes a session",
    "µs CPU",
    "churn",
    ("--parallel", "8", "--resume", "tickets"),
    figure=cpu,
    most=0.7,
    digits=0,
    resumes=True,
)
GET = Row(
    "get",
    "GET of 200 B, kept alive",
    "µs CPU a request",
    "download",
    ("-n", "64", "--size", "200", "--over", "http"),
    figure=cpu,
    # 0.8 is hoped for.
    most=0.9,
    # hitch reads no request and adds no field to it: less work, and no peer in it.
    against="nginx",
    digits=1,
    # The generator counts a download by the gigabyte.
    scale=200e-9,
)

# Timed rows: every round does each with each proxy in turn.
TIMED = [
    NEW,
    RESUMED,
    echo("echo", "echo 128 B, 1 in flight", 0.8, 2, "-n", "64", "--size", "128"),
    echo("echo-16", "echo 128 B, 16 in flight", 0.75, 2, "-n", "64", "--size", "128", "--in-flight", "16"),
    echo(
        "records",
        "echo 128 B, 16 in flight, a TLS record each",
        0.7,
        2,
        *("-n", "64", "--size", "128", "--in-flight", "16", "--own-records"),
        against="nginx",
    ),
    echo("echo-16k", "echo 16 KiB, 4 in flight", 0.7, 1, "-n", "16", "--size", "16KiB", "--in-flight", "4"),
    echo("echo-1m", "echo 1 MiB", 0.85, 0, "-n", "8", "--size", "1MiB"),
    GET,
    transfer("upload", "http", 0.8),
    transfer("download", "http", 0.8),
    transfer("upload", "websocket", 0.8),
    transfer("download", "websocket", 0.8),
]

# At half the rate that the best peer reached in the row `echo`; the option is added then.
TAIL = Row(
    "tail", "p99 of echo 128 B at half load", "µs", "echo", ("-n", "64", "--size", "128"), figure=p99, most=1.0, digits=0
)

SLOW = Row(
    "slow",
    "slow reader, growth",
    "KB a connection",
    "slow",
    ("-n", "200", "--size", "64MiB", "--read-rate", "16KiB", "--over", "websocket"),
    figure=growth,
    limit=80.0,
    digits=1,
    scale=1e-3,
)

IDLE = Row("idle", "idle tunnel, resident set", "B a connection", limit=4_096, digits=0)
BACK = Row("back", "resident set 5 s after everything closed", "of the start", limit=1.10)
HEADS = Row("heads", "bytes sent with the upgrade request", "tunnels of 100 that lost them", limit=0, digits=0)
TORN = Row("torn", "new connections that failed", "of 10,000", limit=0, digits=1)
