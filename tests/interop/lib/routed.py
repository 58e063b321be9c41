"""A proxy with routes: its config is written out in the case, but for what every proxy of the suite has."""

import asyncio
import contextlib
import dataclasses
import json
import time
import urllib.error
import urllib.request

from lib import proxies, suite
from lib.proxies import quote

WAIT_SECONDS = 20
"""How long something may take that the proxy does by itself."""


async def until(read, good, what, seconds=WAIT_SECONDS):
    """Polls what `read` returns until it is `good`; the value then."""
    deadline = time.monotonic() + seconds
    while not good(value := await read()):
        suite.check(time.monotonic() < deadline, f"{what}: not within {seconds} s, now {value!r}")
        await asyncio.sleep(0.05)  # between two polls
    return value


class RoutedHeadpin(proxies.Headpin):
    """One whose routes and upstreams are given as the text of its config."""

    def __init__(self, world, text, policy="copy", launcher=(), workers="auto"):
        super().__init__(world, policy, None, {})
        self.text = text
        self.workers = workers
        self.launcher = launcher
        """The start of the command line, for a proxy that needs surroundings of its own."""

    def config(self):
        common = f"""\
head_policy = {quote(self.policy)}
server = {{ listen = "127.0.0.1:0", drain_grace = "5s", workers = {json.dumps(self.workers)} }}
tls = {{ certificates = {self.certificates()} }}
admin = {{ listen = "127.0.0.1:0" }}
log = {{ format = "json" }}
"""
        return common + "\n" + self.text

    def argv(self):
        return [*self.launcher, *super().argv()]

    async def reload(self, text):
        """Puts another config in force, and returns when it is."""
        before = await self.reloads("applied")
        refused = await self.reloads("refused")
        self.text = text
        self.write_config()

        async def read():
            suite.check(await self.reloads("refused") == refused, f"the config was refused: {self.warnings()[-3:]}")
            return await self.reloads("applied")

        await until(
            read, lambda applied: applied > before, f"reloads applied after {before:g}, the file having changed"
        )

    async def reloads(self, result):
        return proxies.sample(await self.metrics(), "headpin_config_reloads_total", result=result) or 0

    def events(self):
        """The log so far."""
        return [json.loads(line) for line in self.process.lines if line.startswith("{")]

    def warnings(self):
        return [event for event in self.events() if event.get("level") in ("WARN", "ERROR")]

    # === the admin API ===

    async def servers(self, upstream):
        """The servers of an upstream group, as GET /api/upstreams tells them."""
        status, told = await self.api("GET", "/api/upstreams")
        suite.equal(status, 200, "status of GET /api/upstreams")
        groups = {group["name"]: group["servers"] for group in json.loads(told)["upstreams"]}
        suite.check(upstream in groups, f"GET /api/upstreams has no {upstream!r}: {list(groups)}")
        return groups[upstream]

    async def server(self, upstream, url):
        """One server of a group."""
        servers = await self.servers(upstream)
        found = [server for server in servers if server["server"] == url]
        suite.equal(len(found), 1, f"servers that are {url} among {servers}")
        return found[0]

    async def until_state(self, upstream, url, *states, seconds=WAIT_SECONDS):
        """Waits until a server is in one of these states."""

        async def read():
            server = await self.server(upstream, url)
            return server["state"], server["why"]

        return await until(read, lambda state: state[0] in states, f"state of {url}, awaited {states}", seconds)

    async def drain(self, upstream, url, drain):
        """Drains a server, or takes it back."""
        body = {"upstream": upstream, "server": url, "drain": drain}
        status, told = await self.api("PUT", "/api/upstreams", json.dumps(body))
        suite.equal(status, 200, f"status of the PUT, answered {told}")
        return json.loads(told)

    async def api(self, method, path, body=None, **fields):
        """Status and body of an admin request."""
        return await asyncio.to_thread(self._api, method, path, body, fields)

    def _api(self, method, path, body, fields):
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        data = body.encode() if body is not None else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json", **fields}, method=method)
        try:
            with direct.open(request, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


async def sample(context, name, **labels):
    """The sum of a series' samples with these labels; 0 if there is none."""
    return proxies.sample(await context.proxy.metrics(), f"headpin_{name}", **labels) or 0


@contextlib.asynccontextmanager
async def routed(context, text, **options):
    """A context with a proxy of its own. If the case went well, so must what every group of cases is checked for."""
    proxy = RoutedHeadpin(context.world, text, **options)
    context = dataclasses.replace(context, proxy=proxy)
    try:
        await proxy.start()
        yield context
        await suite.nothing_left_behind(context)
        await suite.metrics_lint(context)
        await suite.stops(context)
    finally:
        if proxy.process:
            proxy.process.kill()
