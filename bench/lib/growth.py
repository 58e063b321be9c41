"""What more connections cost: memory and processor time beside ever more idle tunnels, in one process and in several."""

import time

from . import load, machine, memory, programs

IDLE_SECONDS = 3
# A port that a generator has bound is closed to the proxies' own connections, whichever address it is on (that is how
# connect(2) chooses), and the kernel gives every other port to bind(2): 14,000 are left towards each origin.
ORIGINS = 6


class Growth:
    def __init__(self, stage, generator, say, form):
        self.stage, self.generator, self.say = stage, generator, say
        self.seconds, self.back_seconds = form["seconds"], form["back_seconds"]

    def alone(self, contender, have, steps, at_most=lambda *_: None):
        """One process with ever more idle tunnels; `at_most` is called while the last are open."""
        ports, origin = self.stage.origins()
        process, place = self.stage.proxy(contender, have, ports)
        self.warm_up(process, place, memory.WARM_UP)
        begin, helds, told = Moment(process), [], []
        for number, step in enumerate(steps):
            more = step - sum(held.ready for held in helds)
            helds.append(self.more(process, place, number, more))
            told.append(self.look(process, place, begin, step))
        extra = at_most(process, place)
        faults = [load.faults(self.close(held)) for held in helds]
        self.stage.end(process)
        self.stage.end(origin)
        return {"steps": told, "faults": merged(faults)}, extra

    def shared(self, contender, have, copies, stages):
        """Several processes on one port. The tunnels come in stages, from a generator and an address each."""
        ports, origin = self.stage.origins(ORIGINS)
        process, place = self.stage.proxy(contender, have, ports, copies)
        self.warm_up(process, place, memory.WARM_UP * copies)
        begin, helds, told = Moment(process), [], []
        for number, count in enumerate(stages):
            before = machine.cpu_seconds(process.pid)
            helds.append(self.more(process, place, number, count))
            cpu = (machine.cpu_seconds(process.pid) - before) * 1e6 / max(helds[-1].ready, 1)
            moment = Moment(process)
            tunnels = sum(held.ready for held in helds)
            told.append({**moment.since(begin, tunnels), "opening_cpu_us": cpu})
        last = self.look(process, place, begin, sum(held.ready for held in helds))
        reports = [self.close(held) for held in helds]
        for one, report in zip(told, reports, strict=True):
            one["opened_per_second"] = report["rate"]["reached"]
        self.stage.end(process)
        self.stage.end(origin)
        self.say(f"{contender.name}: {last['tunnels']} tunnels over {copies} processes, {last['each_bytes']:.0f} B each, "
                 + "opened at " + ", ".join(f"{one['opened_per_second']:.0f}/s" for one in told))
        return {"processes": copies, "stages": told, "last": last, "faults": merged(map(load.faults, reports))}

    def warm_up(self, process, place, tunnels):
        """As in the rows of memory."""
        self.close(self.more(process, place, 0, tunnels))
        time.sleep(self.back_seconds)

    def more(self, process, place, number, count):
        log = self.stage.logs / f"held-{number}.log"
        options = ("-n", str(count), "--source", f"127.0.0.{2 + number}")
        return self.stage.hold(self.generator.held(log, "idle", place.port, process.pid, *options))

    def close(self, held):
        report = held.close()
        self.stage.end(held)
        return report

    def look(self, process, place, begin, tunnels):
        """Memory, and what the processor does: nothing, echoes, new connections."""
        # What handshakes used is given back by then.
        time.sleep(2)
        told = Moment(process).since(begin, tunnels)
        cpu = machine.cpu_seconds(process.pid)
        time.sleep(IDLE_SECONDS)
        told["idle_cpu_seconds_a_second"] = (machine.cpu_seconds(process.pid) - cpu) / IDLE_SECONDS
        for key, kind, options in (("echo_cpu_us", "echo", ("-n", "64")), ("new_cpu_us", "churn", ())):
            report = self.generator.run(kind, place.port, process.pid, *options, "--duration", load.seconds(self.seconds))
            if load.faults(report):
                raise programs.Failed(f"{kind} beside {tunnels} tunnels: {report['faults']}")
            told[key] = report["process"]["cpu_us_per_unit"]
        return told


class Moment:
    """Memory at one time."""

    def __init__(self, process):
        self.resident, self.kernel = machine.resident_bytes(process.pid), machine.socket_bytes()

    def since(self, begin, tunnels):
        """The proxy has two of a tunnel's four sockets, so half of what the kernel took is put down to it."""
        return {
            "tunnels": tunnels,
            "resident_bytes": self.resident,
            "each_bytes": (self.resident - begin.resident) / max(tunnels, 1),
            "kernel_bytes": (self.kernel - begin.kernel) / 2,
            "kernel_each_bytes": (self.kernel - begin.kernel) / 2 / max(tunnels, 1),
        }


def merged(counts):
    total = {}
    for each in counts:
        for kind, count in each.items():
            total[kind] = total.get(kind, 0) + count
    return total
