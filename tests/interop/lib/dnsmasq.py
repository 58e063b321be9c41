"""Debian's dnsmasq as the only name server of a proxy, its answers changed at will."""

import asyncio
import contextlib
import os
import shutil
import signal

from lib.suite import Skipped

ADDRESS = "127.53.0.53"
"""A loopback address that nobody else serves names on; the port cannot be chosen, as /etc/resolv.conf has none."""

DOMAIN = "headpin.test"
START_SECONDS = 20


class Dnsmasq:
    """Knows the names of `DOMAIN` that `set` gave it, and that there are no others."""

    def __init__(self, world):
        self.world = world
        self.place = world.place / f"dnsmasq-{world.number()}"
        self.place.mkdir()
        self.hosts = self.place / "hosts"
        self.resolv_conf = self.place / "resolv.conf"
        self.process = None
        self.reads = 0

    def write(self, names):
        lines = [f"{address} {name}\n" for name, addresses in names.items() for address in addresses]
        self.hosts.write_text("".join(lines))

    async def start(self, names):
        self.write(names)
        self.resolv_conf.write_text(f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n")
        argv = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            f"--listen-address={ADDRESS}",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            f"--local=/{DOMAIN}/",
            f"--addn-hosts={self.hosts}",
            "--local-ttl=1",
            "--neg-ttl=1",
            "--log-facility=-",
            "--log-queries",
        ]
        self.process = await self.world.processes.start(self.place.name, argv)
        await self._read()

    async def set(self, names):
        """Other answers from now on; the addresses of each name."""
        self.write(names)
        self.process.signal(signal.SIGHUP)
        await self._read()

    async def _read(self):
        """Waits until it has read its names, one time more than before."""
        self.reads += 1

        def times(_line):
            told = sum(f"{self.hosts}" in line and "read " in line for line in self.process.lines)
            return True if told >= self.reads else None

        async with asyncio.timeout(START_SECONDS):
            await self.process.line(times)

    def asked(self, name):
        """How often it was asked for a name's IPv4 addresses."""
        return sum(f"query[A] {name} " in line for line in self.process.lines)

    def launcher(self):
        """The start of a command line that gives a program this name server alone."""
        bind = f"mount --bind {self.resolv_conf} /etc/resolv.conf"
        return ["unshare", "--mount", "sh", "-c", f'{bind} && exec "$@"', "sh"]


@contextlib.asynccontextmanager
async def dnsmasq(context, names):
    """Runs it until the context is left."""
    if os.geteuid() != 0:
        raise Skipped("only root can serve names on port 53 and mount another /etc/resolv.conf")
    for program in ("dnsmasq", "unshare", "mount"):
        if shutil.which(program) is None:
            raise Skipped(f"{program} is not installed")
    server = Dnsmasq(context.world)
    try:
        await server.start(names)
        yield server
    finally:
        if server.process:
            server.process.kill()
            await server.process.wait()
