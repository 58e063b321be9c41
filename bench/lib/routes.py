"""headpin with more routes against headpin with one: a request's route is looked up, whatever there is besides."""

from . import contenders, judge, load, programs, rows

# A connection is what routes could slow down for a client; with a request on a connection that is there already, a route is
# looked up for twenty times less other work.
WORK = {row.key: row for row in (rows.NEW, rows.GET)}
COUNTS = (1, 100, 1_000)


def config(count):
    """So many routes by every kind of pattern; the one that is taken, everything of localhost, is the last."""
    patterns = ('host = "h{}.example.com"', 'host = "*.w{}.example.com"', 'host = "localhost"\npath = "/p{}/q"')
    others = [patterns[number % len(patterns)].format(number) for number in range(count - 1)]
    return "\n".join(f'[[routes]]\n{match}\nupstream = "default"' for match in (*others, 'host = "localhost"'))


def compare(stage, generator, program, seconds, times, say):
    """All at once, one working while the others rest, so many times."""
    ports, _ = stage.origins()
    running = {}
    for count in COUNTS:
        contender = contenders.headpin(program, "copy", f"{count} routes", config(count))
        running[count] = stage.proxy(contender, program, ports)
    for process, place in running.values():
        for kind in ("churn", "download"):
            generator.run(kind, place.port, process.pid, "--duration", "1s")
    told = {}
    for key, row in WORK.items():
        found = {count: [] for count in COUNTS}
        for number in range(times):
            # Nobody is always the first.
            for count in COUNTS[number % len(COUNTS) :] + COUNTS[: number % len(COUNTS)]:
                process, place = running[count]
                report = generator.run(row.kind, place.port, process.pid, *row.options, "--duration", load.seconds(seconds))
                if load.faults(report):
                    raise programs.Failed(f"{count} routes, {row.title}: {report['faults']}")
                found[count].append(row.figure(report))
        spreads = {count: judge.spread(values) for count, values in found.items()}
        # As results are read again: keys are text.
        told[key] = {str(count): {**one, "ratio": judge.ratio(one, spreads[COUNTS[0]])} for count, one in spreads.items()}
        say(f"{row.title}, by routes: " + ", ".join(f"{count} {one['median'] * row.scale:.{row.digits}f}" for count, one in spreads.items()))
    return told
