"""The timed rows: the same work through every proxy in turn, several rounds."""

from . import judge, load, machine, programs, rows


class Timed:
    """The proxies, all running; those that have no work use nothing."""

    def __init__(self, stage, generator, haves, say, form):
        self.stage, self.generator, self.say = stage, generator, say
        self.duration, self.rounds = load.seconds(form["seconds"]), form["rounds"]
        self.ports, self.origin = stage.origins()
        self.running = {c.name: stage.proxy(c, have, self.ports) for c, have in haves}
        for name in self.running:
            for kind in ("churn", "echo", "upload", "download"):
                self.one(name, rows.Row(kind, kind, "", kind), "--duration", load.seconds(form["warm_up_seconds"]))

    def one(self, name, row, *more):
        process, place = self.running[name]
        process.check()
        options = (*row.options, *more)
        return self.generator.run(row.kind, place.port, process.pid, *options, path=row.path, origin=self.origin.pid)

    def row(self, row, *more):
        """The row's figures by proxy."""
        found = {name: [] for name in self.running}
        for number in range(self.rounds):
            names = list(self.running)
            # Nobody is always the first or always behind the same one.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                found[name].append(self.one(name, row, "--duration", self.duration, *more))
        for name, reports in [*found.items()]:
            if full := max(map(full_handshakes, reports)) if row.resumes else 0:
                self.leave_out(found, name, f"{row.title}: up to {full} full handshakes with {name}, which has no figure therefore")
        told = {name: summary(row, reports) for name, reports in found.items()}
        self.say(f"{row.title}: " + ", ".join(f"{name} {one['median'] * row.scale:.{row.digits}f}" for name, one in told.items()))
        return told

    def leave_out(self, found, name, why):
        """A peer that did other work has no figure; without headpin there is nothing to tell."""
        if name == next(iter(self.running)):
            raise programs.Failed(why)
        self.say(why)
        del found[name]

    def tail(self, echo, peers):
        """The tail at half of what the best peer did in the row `echo`."""
        most = max(one["per_second"] for name, one in echo.items() if name in peers) if peers else max(
            one["per_second"] for one in echo.values()
        )
        rate = round(most / 2)
        return rate, self.row(rows.TAIL, "--message-rate", str(rate))

    def heads(self, count=100):
        """How many of so many tunnels lost what was sent with their upgrade request, or failed for it."""
        row = rows.Row("heads", "heads", "", "head", ("-n", str(count), "--hold", "0s", "--timeout", "3s"))
        told = {}
        for name in self.running:
            report = self.one(name, row)
            told[name] = {**judge.spread([sum(load.faults(report).values())]), "faults": load.faults(report)}
        self.say(f"lost heads of {count}: " + ", ".join(f"{name} {one['median']:.0f}" for name, one in told.items()))
        return told


def summary(row, reports):
    """The figure's spread, and what the runs say of themselves."""
    values = [row.figure(report) for report in reports]
    if any(value is None for value in values):
        raise programs.Failed(f"{row.title}: a run gave no figure: {reports[values.index(None)]['faults']}")
    faults = {}
    for report in reports:
        for kind, count in load.faults(report).items():
            faults[kind] = faults.get(kind, 0) + count
    middle = lambda of: judge.spread([of(report) for report in reports])["median"]
    return {
        **judge.spread(values),
        "units": sum(report["units"] for report in reports),
        "per_second": middle(lambda report: report["units_per_second"]),
        "faults": faults,
        "cores": {
            "proxy": middle(lambda report: worked(report) / report["seconds"]),
            "generator": middle(lambda report: report["generator"]["cpu_seconds"] / report["seconds"]),
            "origin": middle(lambda report: report["origin_cpu_seconds"] / report["seconds"]),
            "generator_busiest": middle(lambda report: report["generator"]["busy_ratio"]),
            "generator_waits": middle(lambda report: report["generator"]["starved_ratio"]),
        },
    }


def full_handshakes(report):
    """How many there were, but for the first of each lane, which may have no ticket yet."""
    connections = report["connections"]
    return max(connections["opened"] - connections["resumed"] - connections["asked"], 0)


def worked(report):
    """Processor time of the proxy in the measured part."""
    process = report["process"]
    of = lambda moment: process[moment]["user_seconds"] + process[moment]["system_seconds"]
    return of("end") - of("ready")


def saturated(cores):
    """Who had no time left: the machine, the generator's or the origin's only thread, or nobody."""
    used = cores["proxy"] + cores["generator"] + cores["origin"]
    if used > 0.9 * machine.describe()["cores"] or cores["generator_waits"] > 0.25:
        return "the machine"
    if cores["generator_busiest"] > 0.9:
        return "the generator"
    if cores["origin"] > 0.9:
        return "the origin"
    return "nothing"
