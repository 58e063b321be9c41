"""What a scrape costs a worker, and whether echoes notice."""

import threading
import time
import urllib.request

from . import judge, load, machine, programs

SCRAPES = 50
# Prometheus asks every 15 or 60 seconds.
EVERY_SECONDS = 0.2
# Proxies of the environment are not for this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def scrape(place):
    with OPENER.open(f"http://127.0.0.1:{place.admin}/metrics", timeout=10) as answer:
        return len(answer.read())


def cost(process, place):
    """Milliseconds of each scrape: of the workers, of the admin's thread, until the answer was there."""
    begin, idle = time.monotonic(), machine.thread_seconds(process.pid, "worker")
    time.sleep(2)
    # Workers sweep their tunnels whether or not anybody asks.
    rate = (machine.thread_seconds(process.pid, "worker") - idle) / (time.monotonic() - begin)
    begin = time.monotonic()
    workers, admin = (machine.thread_seconds(process.pid, name) for name in ("worker", "admin"))
    size = [scrape(place) for _ in range(SCRAPES)][-1]
    seconds = time.monotonic() - begin
    workers = machine.thread_seconds(process.pid, "worker") - workers - rate * seconds
    admin = machine.thread_seconds(process.pid, "admin") - admin
    return {
        "bytes": size,
        # Noise may make it less than nothing.
        "worker_ms": max(workers, 0.0) * 1e3 / SCRAPES,
        "admin_ms": admin * 1e3 / SCRAPES,
        "answer_ms": seconds * 1e3 / SCRAPES,
    }


def tail(generator, process, place, rate, seconds, rounds):
    """The p99 of echoes at this rate, with nobody asking and with somebody who asks all the time."""
    found = {"without": [], "with": []}
    for _ in range(rounds):
        for name, values in found.items():
            with asking(place) if name == "with" else Quiet():
                report = generator.run(
                    "echo", place.port, process.pid, "-n", "64", "--message-rate", str(rate), "--duration", load.seconds(seconds)
                )
            if load.faults(report):
                raise programs.Failed(f"echoes beside idle tunnels: {report['faults']}")
            values.append(report["latency"]["p99_us"])
    return {name: judge.spread(values) for name, values in found.items()}


class Quiet:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class asking:
    """Scrapes again and again until it is left."""

    def __init__(self, place):
        self.place, self.done, self.failure = place, threading.Event(), None
        self.thread = threading.Thread(target=self.go, daemon=True)

    def go(self):
        while not self.done.wait(EVERY_SECONDS):
            try:
                scrape(self.place)
            except OSError as error:
                self.failure = error
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        if self.failure:
            raise programs.Failed(f"a scrape failed: {self.failure}")
