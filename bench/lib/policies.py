"""headpin under `pin` against headpin under `copy`: the bug costs memory and no time."""

from . import judge, load, programs, rows

WORK = {row.key: row for row in rows.TIMED if row.key in ("echo", "echo-16k")}


def compare(stage, generator, contenders, program, seconds, pairs, say):
    """Both at once, one resting while the other works, in pairs."""
    ports, _ = stage.origins()
    running = {contender.name: stage.proxy(contender, program, ports) for contender in contenders}
    for process, place in running.values():
        for kind in ("churn", "echo"):
            generator.run(kind, place.port, process.pid, "--duration", "1s")
    told = {}
    for key, row in WORK.items():
        found = {name: [] for name in running}
        for pair in range(pairs):
            # Each goes first as often as the other.
            for name in sorted(running, reverse=pair % 2 == 1):
                process, place = running[name]
                report = generator.run(row.kind, place.port, process.pid, *row.options, "--duration", load.seconds(seconds))
                if load.faults(report):
                    raise programs.Failed(f"{name}, {row.title}: {report['faults']}")
                found[name].append(row.figure(report))
        copy, pin = (judge.spread(found[contender.name]) for contender in contenders)
        ratios = judge.spread([b / a for a, b in zip(copy["values"], pin["values"], strict=True)])
        told[key] = {"copy": copy, "pin": pin, "ratio": ratios}
        say(f"pin against copy, {row.title}: {ratios['median']:.3f} ({ratios['least']:.3f} to {ratios['most']:.3f})")
    return told
