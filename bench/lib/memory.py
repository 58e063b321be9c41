"""The rows of memory: each proxy alone and fresh, idle tunnels, what comes back, slow readers."""

import time

from . import judge, load, machine, rows

# bench/memory takes the same: what a process costs once is not divided among the tunnels.
WARM_UP = 300


class Memory:
    def __init__(self, stage, generator, say, form):
        self.stage, self.generator, self.say = stage, generator, say
        self.tunnels, self.slow_seconds, self.back_seconds = (form[of] for of in ("tunnels", "slow_seconds", "back_seconds"))

    def idle(self, contender, have):
        """A fresh proxy with idle tunnels, and after they have closed."""
        ports, origin = self.stage.origins()
        process, place = self.stage.proxy(contender, have, ports)
        hold = lambda count: self.stage.hold(
            self.generator.held(self.stage.logs / "idle.log", "idle", place.port, process.pid, "-n", str(count))
        )
        cold = machine.resident_bytes(process.pid)
        self.close(hold(WARM_UP))
        time.sleep(self.back_seconds)
        start, cpu = machine.resident_bytes(process.pid), machine.cpu_seconds(process.pid)
        slab = machine.socket_bytes()
        held = hold(self.tunnels)
        # What handshakes used and the allocator gives back is given back by then, as each proxy does or does not.
        time.sleep(2)
        open_bytes, opened = machine.resident_bytes(process.pid), held.ready
        kernel = (machine.socket_bytes() - slab) / 2 / max(opened, 1)
        opening = machine.cpu_seconds(process.pid) - cpu
        report = self.close(held)
        time.sleep(self.back_seconds)
        after = machine.resident_bytes(process.pid)
        self.stage.end(process)
        self.stage.end(origin)
        found = {
            "tunnels": opened,
            "cold_bytes": cold,
            "start_bytes": start,
            "open_bytes": open_bytes,
            "after_bytes": after,
            "each_bytes": (open_bytes - start) / max(opened, 1),
            "back_ratio": after / start,
            "kernel_each_bytes": kernel,
            "opening_cpu_us": opening * 1e6 / max(opened, 1),
            "opened_per_second": report["rate"]["reached"],
            "faults": load.faults(report),
        }
        self.say(f"{contender.name}: {opened} idle tunnels, {found['each_bytes']:.0f} B each, {found['back_ratio']:.2f} after")
        return found

    def close(self, held):
        report = held.close()
        self.stage.end(held)
        return report

    def slow(self, contender, have):
        """A fresh proxy with slow readers: `growth` is to the most that was seen."""
        ports, origin = self.stage.origins()
        process, place = self.stage.proxy(contender, have, ports)
        self.generator.run("churn", place.port, process.pid, "--count", str(WARM_UP))
        row = rows.SLOW
        report = self.generator.run(row.kind, place.port, process.pid, *row.options, "--duration", load.seconds(self.slow_seconds))
        self.stage.end(process)
        self.stage.end(origin)
        self.say(f"{contender.name}: slow readers, {row.figure(report) * row.scale:.1f} KB each")
        return {**judge.spread([row.figure(report)]), "faults": load.faults(report)}
