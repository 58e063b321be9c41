"""Upstreams made of Debian's nginx and HAProxy. Each server tells in JSON which one it is and what it saw."""

import asyncio
import contextlib
import json
import os
import signal
import socket

from lib.processes import EndedEarly
from lib.suite import check

START_SECONDS = 20

_given = set()
"""Ports handed out in this run, so that none is given twice."""


def free_port(address="127.0.0.1"):
    """A port that is free now. Those who need it cannot tell which port the kernel would have given them."""
    while True:
        with socket.create_server((address, 0)) as free:
            port = free.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class Origin:
    """A program that listens on a port for each of its names, or on a Unix socket."""

    program = ""
    address = "127.0.0.1"

    def __init__(self, world, names):
        self.world = world
        self.names = list(names)
        self.ports = {name: free_port() for name in self.names}
        self.place = world.place / f"{self.program}-{world.number()}"
        self.place.mkdir()
        self.process = None

    def url(self, name):
        return f"http://{self.address}:{self.ports[name]}"

    def urls(self):
        """The servers as a TOML array."""
        return json.dumps([self.url(name) for name in self.names])

    async def start(self):
        """Starts the program, or starts it again on the same ports; returns when all of them take connections."""
        self.process = await self.world.processes.start(self.place.name, self.argv())
        async with asyncio.timeout(START_SECONDS):
            for name in self.names:
                while not await self.takes_connections(name):
                    if self.process.exit_code is not None:
                        raise EndedEarly(f"{self.place.name} ended: {self.process.lines[-5:]}")
                    await asyncio.sleep(0.02)  # between two attempts
        return self

    async def takes_connections(self, name):
        try:
            _, writer = await asyncio.open_connection(self.address, self.ports[name])
        except ConnectionRefusedError:
            return False
        writer.transport.abort()
        return True

    def signal(self, number):
        """Sends a signal to the program and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.process.pid, number)

    async def kill(self):
        """SIGKILL, also for a program that is frozen."""
        self.signal(signal.SIGKILL)
        await self.process.wait()

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def running(self):
        """Runs until the context is left."""
        try:
            yield await self.start()
        finally:
            if self.process:
                await self.kill()


class Nginx(Origin):
    """nginx. While a server's `failing` file exists it answers 503, and while its `breaking` file exists it closes
    without an answer; /healthz is answered with its `healthz` file."""

    program = "nginx"
    SAW = ("uri", "host", "cookie", "upgrade", "origin", "x_tenant", "x_forwarded_for")

    def __init__(self, world, names, *, http="", server="", listen="{address}:{port}", workers=0):
        super().__init__(world, names)
        self.workers = workers
        """0 for one process that does all itself; else a master has this many."""
        self.http = http
        self.server = server
        self.listen = listen
        for name in self.names:
            self.folder(name).mkdir()
            self.healthz(name, "ok\n")

    def folder(self, name):
        return self.place / name

    def healthz(self, name, text):
        """Sets what the health check gets; None for 404."""
        file = self.folder(name) / "healthz"
        if text is None:
            file.unlink()
        else:
            file.write_text(text)

    def set(self, name, mode, on):
        """Sets or takes back the mode `failing` or `breaking`."""
        file = self.folder(name) / mode
        if on:
            file.touch()
        else:
            file.unlink()

    def answer(self, name):
        """The JSON that a server answers, with nginx's variables in it."""
        variables = {saw: f"$http_{saw}" for saw in self.SAW}
        variables["uri"] = "$request_uri"
        variables["method"] = "$request_method"
        variables["sni"] = "$ssl_server_name"
        variables["client"] = "$ssl_client_s_dn"
        return json.dumps({"server": name, **variables})

    def config(self):
        servers = "\n".join(
            f"""\
    server {{
        listen {self.listen.format(address=self.address, port=self.ports[name], folder=self.folder(name))};
        root {self.folder(name)};
        add_header X-Server {name};
        {self.server}
        location / {{
            if (-f {self.folder(name)}/failing) {{ return 503 "failing"; }}
            if (-f {self.folder(name)}/breaking) {{ return 444; }}
            return 200 '{self.answer(name)}\\n';
        }}
        location = /healthz {{
            if ($http_host = "refuse.example") {{ return 500; }}
        }}
    }}"""
            for name in self.names
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"    {kind}_temp_path {self.place}/{kind};" for kind in kinds)
        return f"""\
daemon off;
{f"worker_processes {self.workers};" if self.workers else "master_process off;"}
pid {self.place}/pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
{temporary}
    access_log off;
    default_type application/json;
    client_max_body_size 0;
    {self.http}
{servers}
}}
"""

    def argv(self):
        path = self.place / "nginx.conf"
        path.write_text(self.config())
        return ["nginx", "-e", "stderr", "-p", self.place, "-c", path]


class UnixNginx(Nginx):
    """nginx with one server on a Unix socket."""

    def __init__(self, world, name):
        super().__init__(world, [name], listen="unix:{folder}/socket")

    def socket(self, name):
        return self.folder(name) / "socket"

    def url(self, name):
        return f"unix:{self.socket(name)}"

    async def takes_connections(self, name):
        try:
            _, writer = await asyncio.open_unix_connection(self.socket(name))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        writer.transport.abort()
        return True


# How every config of HAProxy here begins.
HAPROXY = """\
global
    maxconn 2000
    nbthread 1
defaults
    mode http
    timeout client 1m
    timeout connect 5s
    timeout server 1m
"""


class Haproxy(Origin):
    """HAProxy, many servers in one process."""

    program = "haproxy"

    def config(self):
        servers = "\n".join(
            f"""\
frontend {name}
    bind {self.address}:{self.ports[name]}
    http-request return status 200 content-type application/json lf-string '{self.answer(name)}'"""
            for name in self.names
        )
        return f"{HAPROXY}{servers}\n"

    def answer(self, name):
        return json.dumps({"server": name, "uri": "%[pathq]", "host": "%[req.hdr(host)]"})

    def argv(self):
        path = self.place / "haproxy.cfg"
        path.write_text(self.config())
        return ["haproxy", "-db", "-f", path]


def on_the_way(world, port):
    """HAProxy as one more proxy, in front of the server on this port."""
    haproxy = Haproxy(world, ["way"])
    haproxy.config = lambda: (
        f"""\
{HAPROXY}    timeout tunnel 10m
frontend way
    bind 127.0.0.1:{haproxy.ports["way"]}
    default_backend server
backend server
    server one 127.0.0.1:{port}
"""
    )
    return haproxy


def all_of(counts, names):
    """Checks that each of the servers is among those that answered."""
    missing = [name for name in names if not counts.get(name)]
    check(not missing, f"never asked: {', '.join(missing)}; answers: {dict(counts)}")
