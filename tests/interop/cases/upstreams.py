"""Upstream groups: which server of a group gets a request, and what becomes of requests when servers come and go.

nginx, HAProxy, Python and Node as upstreams. Each case has a proxy of its own, whose config it writes out.
"""

import asyncio
import collections
import functools
import json
import signal
import socket
import time

from cases.websocket import LANGUAGES, echoes
from lib import pki, raw
from lib.ask import Client, Load, ask, on_a_thread, servers_of
from lib.fleet import fleet
from lib.origins import Haproxy, Nginx, UnixNginx, all_of
from lib.routed import routed, sample, until
from lib.suite import Case, Group, Skipped, check, equal

SERVICE_RESTART = 1012
"""The close code of a tunnel whose server has left the config."""

COOKIE = "headpin_server"


def nginx(context, *names, **options):
    return Nginx(context.world, names, **options).running()


def haproxy(context, *names):
    return Haproxy(context.world, names).running()


def group(servers, *keys, more=""):
    """A config with one route to one group, "app"."""
    lines = "\n".join(keys)
    return f'[[routes]]\nupstream = "app"\n[upstreams.app]\nservers = {servers}\n{lines}\n{more}\n'


def weighted(origin, weights):
    """Servers as TOML, each with a weight."""
    each = (f'{{ url = "{origin.url(name)}", weight = {weight} }}' for name, weight in weights.items())
    return f"[{', '.join(each)}]"


def near(got, wanted, share, what):
    check(abs(got - wanted) <= share * wanted, f"{what}: {got}, not within {share:.0%} of {wanted}")


# === balancing ===


async def round_robin(context):
    async with haproxy(context, "a", "b", "c") as origin:
        async with routed(context, group(origin.urls())) as context:
            counts = collections.Counter(await servers_of(context, 300))
            for name in origin.names:
                near(counts[name], 100, 0.1, f"requests to {name}")


async def weights(context):
    wanted = {"a": 1, "b": 2, "c": 3}
    async with haproxy(context, *wanted) as origin:
        async with routed(context, group(weighted(origin, wanted))) as context:
            counts = collections.Counter(await servers_of(context, 600))
            for name, weight in wanted.items():
                near(counts[name], 100 * weight, 0.1, f"requests to {name}")
            # Weights change with a reload, without one request lost.
            await context.proxy.reload(group(weighted(origin, {"a": 3, "b": 2, "c": 1})))
            counts = collections.Counter(await servers_of(context, 600))
            for name, weight in {"a": 3, "b": 2, "c": 1}.items():
                near(counts[name], 100 * weight, 0.1, f"requests to {name} after the reload")


async def random_two(context):
    """All servers get some."""
    async with nginx(context, "a", "b", "c") as origin:
        async with routed(context, group(origin.urls(), 'balance = "random_two"')) as context:
            counts = collections.Counter(await servers_of(context, 300))
            for name in origin.names:
                check(counts[name] > 40, f"{name} had {counts[name]} of 300 requests")


async def least_connections(context):
    """Tunnels go where the fewest are open, and the places of those that end are taken first."""
    async with fleet(context, {"one": "python", "two": "node", "three": "node"}) as ships:
        async with routed(context, group(ships.urls(), 'balance = "least_connections"')) as context:
            tunnels = [await ships.open(context, client) for _ in range(6) for client in LANGUAGES]
            counts = collections.Counter(tunnel.server for tunnel in tunnels)
            equal(dict(counts), {"one": 4, "two": 4, "three": 4}, "tunnels of each server")
            ended = [tunnel for tunnel in tunnels if tunnel.server == "two"]
            for tunnel in ended:
                tunnels.remove(tunnel)
                await tunnel.close()

            async def open_there():
                return (await context.proxy.server("app", ships.url("two")))["tunnels"]

            await until(open_there, lambda count: count == 0, "tunnels of the server whose tunnels ended")
            more = [await ships.open(context, "node") for _ in range(4)]
            equal([tunnel.server for tunnel in more], ["two"] * 4, "where the next tunnels went")
            for tunnel in (*tunnels, *more):
                await echoes(tunnel, 1000)
                await tunnel.close()


async def least_connections_by_weight(context):
    async with fleet(context, {"one": "node", "two": "python"}) as ships:
        servers = f'[{{ url = "{ships.url("one")}", weight = 3 }}, "{ships.url("two")}"]'
        async with routed(context, group(servers, 'balance = "least_connections"')) as context:
            tunnels = [await ships.open(context, "node") for _ in range(12)]
            counts = collections.Counter(tunnel.server for tunnel in tunnels)
            equal(dict(counts), {"one": 9, "two": 3}, "tunnels by weight 3 and 1")
            for tunnel in tunnels:
                await tunnel.close()


async def hashed(context, hash_on, field, value):
    """One key, one server; and when a server goes, the keys of the others stay where they are."""
    keys = [f"key-{number}" for number in range(300)]
    async with haproxy(context, "a", "b", "c", "d", "e") as origin:

        def config(names):
            urls = json.dumps([origin.url(name) for name in names])
            return group(urls, 'balance = "hash"', f'hash_on = "{hash_on}"')

        async def placed():
            def run():
                client = Client(context.world, context.proxy.port)
                try:
                    return {key: client.ask("/", fields=[(field, value.format(key))]).json()["server"] for key in keys}
                finally:
                    client.close()

            return await on_a_thread(run)

        async with routed(context, config(origin.names)) as context:
            first = await placed()
            counts = collections.Counter(first.values())
            for name in origin.names:
                check(25 <= counts[name] <= 120, f"{name} has {counts[name]} of 300 keys; all: {counts}")
            equal(await placed(), first, "servers of the same keys, asked again")
            await context.proxy.reload(config(["a", "b", "d", "e"]))
            second = await placed()
            moved = [key for key in keys if second[key] != first[key] and first[key] != "c"]
            check(len(moved) <= 15, f"{len(moved)} keys moved that were not on the server that went")
            check("c" not in second.values(), "a server that has left the config got requests")
            await context.proxy.reload(config(origin.names))
            equal(await placed(), first, "servers of the keys with the server back")


async def hashed_by_address(context):
    async with haproxy(context, "a", "b", "c") as origin:
        async with routed(context, group(origin.urls(), 'balance = "hash"', 'hash_on = "client_address"')) as context:
            equal(len(set(await servers_of(context, 60))), 1, "servers for one address")


async def sticky(context):
    """A client stays with its server, by a cookie that names it and tells nothing of it."""
    async with nginx(context, "a", "b", "c") as origin, fleet(context, {"ws": "node"}) as ships:
        text = group(origin.urls(), f'sticky_cookie = "{COOKIE}"', 'down_for = "30s"')
        tunnels = f'\n[[routes]]\npath = "/echo"\nupstream = "ws"\n[upstreams.ws]\nservers = {ships.urls()}\n'
        async with routed(context, text + tunnels + f'sticky_cookie = "{COOKIE}"\n') as context:
            seen = {}
            for _ in range(9):
                answer = await ask(context, "/")
                value = answer.cookie(COOKIE)
                check(value, f"no cookie in the first answer, but {answer.fields('set-cookie')}")
                server = answer.json()["server"]
                equal(seen.setdefault(server, value), value, f"cookie that names {server}")
                told = [part for part in (str(origin.ports[server]), "127.0.0") if part in value]
                check(not told, f"the cookie tells the server: {value}")
            all_of(seen, origin.names)
            (line,) = answer.fields("set-cookie")
            attributes = {part.strip().lower() for part in line.split(";")[1:]}
            check({"path=/", "httponly", "secure"} <= attributes, f"attributes of the cookie: {line}")

            for server, value in seen.items():
                fields = [("Cookie", f"other=1; {COOKIE}={value}; more=2")]
                answered = set(await servers_of(context, 30, fields=fields))
                equal(answered, {server}, f"servers for the cookie of {server}")
                equal((await ask(context, "/", fields=fields)).fields("set-cookie"), [], "Set-Cookie once more")

            # The cookie is as good after a reload, and one that nobody gave is as none.
            fields = [("Cookie", f"{COOKIE}={seen['b']}")]
            urls = json.dumps([origin.url(name) for name in ("c", "b", "a")])
            await context.proxy.reload(group(urls, f'sticky_cookie = "{COOKIE}"', 'down_for = "30s"'))
            equal(set(await servers_of(context, 30, fields=fields)), {"b"}, "servers for the cookie after a reload")
            forged = await ask(context, "/", fields=[("Cookie", f"{COOKIE}=forged")])
            equal(forged.status, 200, "status with a forged cookie")
            check(forged.cookie(COOKIE) in seen.values(), "no new cookie in place of a forged one")

            # A drained server keeps the clients that it has.
            await context.proxy.drain("app", origin.url("b"), True)
            equal(set(await servers_of(context, 10, fields=fields)), {"b"}, "servers for the cookie of a drained one")
            check("b" not in await servers_of(context, 20), "a drained server got a client that it did not have")

            # Where its server has gone, the client moves on to one of the others.
            urls = json.dumps([origin.url(name) for name in ("c", "a")])
            await context.proxy.reload(group(urls, f'sticky_cookie = "{COOKIE}"'))
            moved = await ask(context, "/", fields=fields)
            equal(moved.cookie(COOKIE), seen[moved.json()["server"]], "cookie in place of one whose server has gone")


async def sticky_handshake(context):
    """The answer to a handshake brings the cookie too, and a handshake with it finds its server."""
    async with fleet(context, {"one": "node", "two": "python"}) as ships:

        async def handshake(*extra):
            conn = f"c{context.world.number()}"
            async with raw.tls(context.world, context.proxy.port) as (reader, writer):
                writer.write(raw.upgrade_request(f"/echo/{conn}", extra=extra))
                head = await raw.read_head(reader)
                equal(head.status, 101, "status")
                server, _ = await ships.first_open(conn)
                return server, head.fields.get("set-cookie")

        async with routed(context, group(ships.urls(), f'sticky_cookie = "{COOKIE}"')) as context:
            found = {}
            for _ in range(4):
                server, line = await handshake()
                check(line and line.startswith(f"{COOKIE}="), f"no cookie in the 101: {line!r}")
                found[server] = line.split(";")[0]
            all_of(found, ["one", "two"])
            for server, cookie in found.items():
                for _ in range(5):
                    equal(await handshake(f"Cookie: {cookie}"), (server, None), "server, and cookie once more")


# === health ===


CHECKED = """
[upstreams.app.health]
path = "/healthz"
interval = "100ms"
timeout = "1s"
fall = 2
rise = 2
"""


async def avoided(context, origin, name, *others):
    """Checks that requests go to the other servers alone, and that none fails."""
    counts = collections.Counter(await servers_of(context, 20 * len(others)))
    check(name not in counts, f"{name} got {counts[name]} requests")
    all_of(counts, others)


async def health_http(context):
    """Unhealthy by the status, by the body, by silence and by refusing; each time healthy again by itself."""
    more = CHECKED + 'status = "200"\nbody = "ok"\nhost = "app.example"\n'
    async with nginx(context, "a", "b") as good, nginx(context, "c") as origin:
        urls = json.dumps([good.url("a"), good.url("b"), origin.url("c")])
        c = origin.url("c")
        async with routed(context, group(urls, 'response_timeout = "20s"', more=more)) as context:
            await context.proxy.until_state("app", c, "up")
            all_of(collections.Counter(await servers_of(context, 30)), "abc")
            for what, spoil, mend in (
                ("status", lambda: origin.healthz("c", None), lambda: origin.healthz("c", "ok\n")),
                ("body", lambda: origin.healthz("c", "not well\n"), lambda: origin.healthz("c", "all ok\n")),
                ("silence", origin.freeze, origin.thaw),
            ):
                spoil()
                state, why = await context.proxy.until_state("app", c, "unhealthy")
                check(why, f"no reason is told for a server that is {state} by {what}")
                up = await sample(context, "upstream_server_up", upstream="app", server=c)
                equal(up, 0, "headpin_upstream_server_up")
                await avoided(context, origin, "c", "a", "b")
                mend()
                await context.proxy.until_state("app", c, "up")
                all_of(collections.Counter(await servers_of(context, 30)), "abc")
            await origin.kill()
            await context.proxy.until_state("app", c, "unhealthy")
            await avoided(context, origin, "c", "a", "b")
            await origin.start()
            await context.proxy.until_state("app", c, "up")
            all_of(collections.Counter(await servers_of(context, 30)), "abc")


async def health_defaults(context):
    """200 to 399 by default, with the server's own host; another host can be named, and a range of statuses."""
    async with nginx(context, "a") as origin:
        a = origin.url("a")
        async with routed(context, group(origin.urls(), more=CHECKED)) as context:
            await context.proxy.until_state("app", a, "up")
            refused = CHECKED + 'host = "refuse.example"\n'
            await context.proxy.reload(group(origin.urls(), more=refused))
            await context.proxy.until_state("app", a, "unhealthy")
            await context.proxy.reload(group(origin.urls(), more=refused + 'status = "500-599"\n'))
            await context.proxy.until_state("app", a, "up")
            # Without checks nothing is known against it.
            await context.proxy.reload(group(origin.urls(), more=refused))
            await context.proxy.until_state("app", a, "unhealthy")
            await context.proxy.reload(group(origin.urls()))
            await context.proxy.until_state("app", a, "up")


async def health_tcp(context):
    """A server that takes no connection is found by the check alone, before any request."""
    more = '[upstreams.app.health]\ninterval = "100ms"\ntimeout = "1s"\nfall = 2\nrise = 2\n'
    async with haproxy(context, "a") as good:
        origin = Haproxy(context.world, ["b"])
        urls = json.dumps([good.url("a"), origin.url("b")])
        async with routed(context, group(urls, more=more)) as context:
            await context.proxy.until_state("app", origin.url("b"), "unhealthy")
            await avoided(context, origin, "b", "a")
            equal((await context.proxy.server("app", origin.url("b")))["requests"], 0, "requests it got")
            async with origin.running():
                await context.proxy.until_state("app", origin.url("b"), "up")
                all_of(collections.Counter(await servers_of(context, 20)), "ab")
                async with fleet(context, {"ws": "node"}) as ships:
                    await context.proxy.reload(group(json.dumps([*json.loads(urls), ships.url("ws")]), more=more))
                    await context.proxy.until_state("app", ships.url("ws"), "up")
            await context.proxy.until_state("app", origin.url("b"), "unhealthy")


async def all_unhealthy(context):
    """With no server left the answer is 503 or 502 at once, and the next after one is well again is good."""
    async with nginx(context, "a", "b") as origin:
        async with routed(context, group(origin.urls(), more=CHECKED)) as context:
            for name in origin.names:
                await context.proxy.until_state("app", origin.url(name), "up")
                origin.healthz(name, None)
            for name in origin.names:
                await context.proxy.until_state("app", origin.url(name), "unhealthy")
            start = time.monotonic()
            answer = await ask(context, "/")
            check(answer.status in (200, 502, 503), f"answer: {answer!r}")
            check(time.monotonic() - start < 5, "the answer was slow")
            origin.healthz("a", "ok")
            await context.proxy.until_state("app", origin.url("a"), "up")
            equal(set(await servers_of(context, 10)), {"a"}, "servers that answered")


# === failures that requests meet ===


async def ejection(context):
    """Passed over after failures in a row, for longer each time, and asked again after that."""
    keys = ("eject_after = 3", 'down_for = "1s"', 'down_for_max = "10s"', "retries = 0")
    async with nginx(context, "a", "b") as origin:
        b = origin.url("b")
        async with routed(context, group(origin.urls(), *keys)) as context:

            async def failures_until_down():
                """Asks until the server is passed over; how many answers were 503 meanwhile."""
                failures = 0
                while (await context.proxy.server("app", b))["state"] == "up":
                    failures += (await ask(context, "/")).status == 503
                return failures

            origin.set("b", "failing", on=True)
            failures = await failures_until_down()
            equal(failures, 3, "failures until it was passed over")
            start = time.monotonic()
            server = await context.proxy.server("app", b)
            check(server["failures"] >= 3 and server["last_failure"], f"failures told: {server}")
            await avoided(context, origin, "b", "a")
            await context.proxy.until_state("app", b, "up")
            check(0.5 < time.monotonic() - start < 8, f"back after {time.monotonic() - start:.1f} s, not after one")
            await failures_until_down()
            start = time.monotonic()
            await context.proxy.until_state("app", b, "up")
            check(1.5 < time.monotonic() - start < 9, f"back after {time.monotonic() - start:.1f} s, not after two")
            origin.set("b", "failing", on=False)
            all_of(collections.Counter(await servers_of(context, 40)), "ab")
            equal((await context.proxy.server("app", b))["state"], "up", "state of a server that is well again")
            # Failures that are not in a row do not count together.
            for _ in range(6):
                origin.set("b", "failing", on=True)
                while (await ask(context, "/")).status != 503:
                    pass
                origin.set("b", "failing", on=False)
                while (await ask(context, "/")).json()["server"] != "b":
                    pass
            equal((await context.proxy.server("app", b))["state"], "up", "state after failures that were not in a row")


async def silence(context):
    """A server that takes requests and answers none in time is passed over like one that fails. Requests that may be
    repeated go to another one, after the same time."""
    keys = ("eject_after = 2", 'down_for = "30s"', 'response_timeout = "500ms"')
    async with nginx(context, "a") as good, nginx(context, "b") as origin:
        b = origin.url("b")
        async with routed(context, group(json.dumps([good.url("a"), b]), *keys)) as context:
            all_of(collections.Counter(await servers_of(context, 10)), "ab")
            origin.freeze()
            statuses = collections.Counter()
            while (await context.proxy.server("app", b))["state"] == "up":
                statuses[(await ask(context, "/", method="POST", body=b"x")).status] += 1
            equal(statuses[504], 2, f"requests that were not answered in time; all: {statuses}")
            await avoided(context, origin, "b", "a")
            equal(await sample(context, "upstream_retries_total", upstream="app"), 0, "retries")
            origin.thaw()
        async with routed(context, group(json.dumps([good.url("a"), b]), *keys)) as context:
            all_of(collections.Counter(await servers_of(context, 10)), "ab")
            origin.freeze()
            while (await context.proxy.server("app", b))["state"] == "up":
                equal((await ask(context, "/")).json()["server"], "a", "server that answers")
            await avoided(context, origin, "b", "a")
            equal(await sample(context, "upstream_retries_total", upstream="app"), 2, "retries")


async def eject_share(context):
    """When all fail, half of them stay: a group never ejects itself."""
    keys = ("eject_after = 2", 'down_for = "30s"', "retries = 0", "eject_share = 50")
    names = ("a", "b", "c", "d")
    async with nginx(context, *names) as origin:
        async with routed(context, group(origin.urls(), *keys)) as context:
            for name in names:
                origin.set(name, "failing", on=True)
            answers = [await ask(context, "/") for _ in range(60)]
            equal({answer.status for answer in answers}, {503}, "statuses")
            equal({answer.body for answer in answers}, {b"failing"}, "bodies: all are nginx's")
            states = collections.Counter(server["state"] for server in await context.proxy.servers("app"))
            equal((states["down"], states["up"]), (2, 2), "servers down and up")


async def failed_connect(context):
    """A refused connection counts at once, costs no request, and the server is asked again after down_for."""
    async with haproxy(context, "a") as good:
        origin = Haproxy(context.world, ["b"])
        b = origin.url("b")
        text = group(json.dumps([good.url("a"), b]), 'down_for = "1s"', 'down_for_max = "2s"')
        async with routed(context, text) as context:
            equal(set(await servers_of(context, 30)), {"a"}, "servers that answered")
            server = await context.proxy.server("app", b)
            equal(server["state"], "down", "state")
            check(server["last_failure"], f"no failure is told: {server}")
            failures = await sample(context, "upstream_server_failures_total", upstream="app", server=b)
            check(failures >= 1, "no failure counted")
            for path in ("/post", "/put"):  # a request that may not be repeated was not sent yet
                equal((await ask(context, path, method=path[1:].upper(), body=b"x")).status, 200, f"status of {path}")
            async with origin.running():
                await context.proxy.until_state("app", b, "up")
                all_of(collections.Counter(await servers_of(context, 20)), "ab")


async def retries(context):
    """A server that closes without an answer costs no request that may be repeated; others are not sent twice."""
    keys = ("eject_after = 100000", "retry_budget = 100")
    async with nginx(context, "good", "broken") as origin:
        origin.set("broken", "breaking", on=True)
        async with routed(context, group(origin.urls(), *keys)) as context:
            answers = [
                await ask(context, "/", method=method) for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE") * 8
            ]
            equal([answer.status for answer in answers], [200] * 40, "statuses of requests that may be repeated")
            retried = await sample(context, "upstream_retries_total", upstream="app")
            check(
                10 <= retried <= 40, f"{retried} retries for 40 requests, of which every second met the broken server"
            )
            posts = collections.Counter([(await ask(context, "/", method="POST", body=b"x")).status for _ in range(20)])
            equal(set(posts), {200, 502}, f"statuses of POST: {posts}")
            equal(await sample(context, "upstream_retries_total", upstream="app"), retried, "retries after the POSTs")
            await context.proxy.reload(group(origin.urls(), *keys, "retries = 0"))
            gets = collections.Counter([(await ask(context, "/")).status for _ in range(20)])
            equal(set(gets), {200, 502}, f"statuses of GET without retries: {gets}")


async def retry_budget(context):
    """Past the budget a broken server is felt, rather than the others drowned in retries."""
    keys = ("eject_after = 100000", "retry_budget = 10")
    async with nginx(context, "good", "broken") as origin:
        origin.set("broken", "breaking", on=True)
        async with routed(context, group(origin.urls(), *keys)) as context:
            statuses = collections.Counter([(await ask(context, "/")).status for _ in range(400)])
            retried = await sample(context, "upstream_retries_total", upstream="app")
            check(retried <= 80, f"{retried} retries for 400 requests, with a budget of 10 percent")
            check(retried > 0 and statuses[502] > 0, f"retries: {retried}, statuses: {statuses}")


async def closing(context):
    """A server that closes kept connections after a few requests: none of them is lost in the closing."""
    async with nginx(context, "a", "b", http="keepalive_requests 3;") as origin:
        async with routed(context, group(origin.urls())) as context:
            async with Load(context, threads=6) as load:
                await load.more(3000)
            equal(load.failed[:3], [], f"{len(load.failed)} failures among {load.answered} requests")


async def slow_start(context):
    """A server that comes back gets its share step by step."""
    keys = ('slow_start = "20s"', 'down_for = "100ms"', 'down_for_max = "100ms"')
    async with haproxy(context, "a") as good:
        origin = Haproxy(context.world, ["b"])
        async with routed(context, group(json.dumps([good.url("a"), origin.url("b")]), *keys)) as context:
            equal(set(await servers_of(context, 10)), {"a"}, "servers that answered")
            async with origin.running():
                await context.proxy.until_state("app", origin.url("b"), "up")
                counts = collections.Counter(await servers_of(context, 200))
                check(counts["b"] < 60, f"a server that just came back got {counts['b']} of 200 requests")

                async def share():
                    return collections.Counter(await servers_of(context, 100))["b"]

                await until(share, lambda count: count >= 40, "its share of 100 requests", seconds=40)


# === under load ===


LOADED = ('response_timeout = "60s"', 'down_for = "500ms"', 'down_for_max = "1s"')
QUICK = '[upstreams.app.health]\npath = "/healthz"\ninterval = "100ms"\ntimeout = "1s"\nfall = 2\nrise = 2\n'


async def under_load(context, end, checked):
    """nginx goes away and comes back while threads ask without a pause; no request is lost."""
    async with nginx(context, "a", "b") as good, nginx(context, "c") as origin:
        urls = json.dumps([good.url("a"), good.url("b"), origin.url("c")])
        async with routed(context, group(urls, *LOADED, more=QUICK if checked else "")) as context:
            async with Load(context, threads=6) as load:
                for _ in range(3):
                    await load.more(50, "c")
                    await end(context, origin, load)
                    await origin.start()
                await load.more(50, "c")
            equal(load.failed[:3], [], f"{len(load.failed)} failures among {load.answered} requests")


async def killed(context, origin, load):
    """SIGKILL: what it had taken ends in a reset."""
    await origin.kill()
    await load.more(200)


async def stopped(context, origin, load):
    """SIGQUIT: it ends in good order, answering what it has taken."""
    origin.signal(signal.SIGQUIT)
    await origin.process.wait()
    await load.more(200)


async def reloaded_under_load(context):
    """nginx replaces its workers, as it does for a new config of its own; no request is lost."""
    reloads, workers = 5, 2
    async with nginx(context, "a", workers=workers) as origin, routed(context, group(origin.urls())) as context:

        async def workers_gone():
            return sum("exited with code 0" in line for line in origin.process.lines)

        async with Load(context, threads=6) as load:
            for number in range(1, reloads + 1):
                await load.more(100)
                origin.process.signal(signal.SIGHUP)
                await until(workers_gone, lambda count, n=number: count >= n * workers, "old workers of nginx gone")
            await load.more(100)
        equal(load.failed[:3], [], f"{len(load.failed)} failures among {load.answered} requests")


async def frozen_and_killed(context, origin, load):
    """SIGSTOP: it takes connections, and answers nothing. What waits for it goes on when it is killed."""
    origin.freeze()
    await context.proxy.until_state("app", origin.url("c"), "unhealthy", "down")
    async with Load(context, threads=3) as fresh:
        await fresh.more(200)
    equal(fresh.failed[:3], [], "failures while one server was frozen")
    check("c" not in fresh.by_server, "a frozen server answered")
    await origin.kill()
    await load.more(200)


async def frozen_and_thawed(context):
    """A server that stands still for a while: those that wait for it get its answers, the others go on."""
    async with nginx(context, "a", "b") as good, nginx(context, "c") as origin:
        urls = json.dumps([good.url("a"), good.url("b"), origin.url("c")])
        async with routed(context, group(urls, *LOADED, more=QUICK)) as context:
            async with Load(context, threads=6) as load:
                await load.more(50, "c")
                origin.freeze()
                await context.proxy.until_state("app", origin.url("c"), "unhealthy", "down")
                async with Load(context, threads=3) as fresh:
                    await fresh.more(200)
                equal(fresh.failed[:3], [], "failures while one server was frozen")
                origin.thaw()
                await load.more(200, "c")
            equal(load.failed[:3], [], f"{len(load.failed)} failures among {load.answered} requests")


# === kinds of servers ===


async def localhost(context):
    """A name with an address of each IP version is one server, which listens on either or on both."""
    for addresses in (["127.0.0.1"], ["::1"], ["::1", "127.0.0.1"]):
        if "::1" in addresses and not has_ipv6():
            raise Skipped("there is no ::1 here; with 127.0.0.1 alone it went well")
        origin = Localhost(context.world, addresses)
        text = group(f'["http://localhost:{origin.port}"]')
        async with origin.running(), routed(context, text) as context_:
            await context_.proxy.until_state("app", f"http://localhost:{origin.port}", "up")  # its name is resolved
            equal(set(await servers_of(context_, 20)), {"one"}, f"servers with nginx on {addresses}")
            told = [(server["state"], server["failures"]) for server in await context_.proxy.servers("app")]
            equal(told, [("up", 0)], f"states and failures with nginx on {addresses}")


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Localhost(Nginx):
    """nginx on one port of these loopback addresses."""

    def __init__(self, world, addresses):
        super().__init__(world, ["one"])
        self.address = addresses[0]
        self.port = self.ports["one"]
        each = [f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}" for address in addresses]
        self.listen = "; listen ".join(each)


async def unix(context):
    """Requests to nginx and tunnels to Node, on Unix sockets."""
    path = context.world.place / "ws.socket"
    async with UnixNginx(context.world, "one").running() as origin:
        async with fleet(context, {"ws": "node"}, INTEROP_SOCKET=str(path)) as ships:
            text = group(f'["{origin.url("one")}"]')
            text += f'[[routes]]\npath = "/echo"\nupstream = "ws"\n[upstreams.ws]\nservers = ["unix:{path}"]\n'
            async with routed(context, text) as context:
                equal((await ask(context, "/x?y", host="a.example")).json()["uri"], "/x?y", "path at nginx")
                equal((await ask(context, "/", host="a.example")).json()["host"], "a.example", "Host at nginx")
                tunnels = [await ships.open(context, client) for client in LANGUAGES]
                for tunnel in tunnels:
                    await echoes(tunnel, 1 << 20)
                equal((await context.proxy.server("ws", f"unix:{path}"))["tunnels"], 2, "tunnels told")
                for tunnel in tunnels:
                    await tunnel.close()
                # A socket that goes away and comes back.
                await origin.kill()
                origin.socket("one").unlink(missing_ok=True)
                equal((await ask(context, "/")).status, 502, "status without the socket")
                await origin.start()

                async def status():
                    return (await ask(context, "/")).status

                await until(status, lambda status: status == 200, "status with the socket back")


async def https(context):
    """nginx by https, with an authority of its own, under another name, asking for a client's certificate."""
    own = pki.make(context.world.place / f"pki-{context.world.number()}")
    other = context.world.pki
    _, server, client = own.leaves
    directives = (
        f"ssl_certificate {server.cert}; ssl_certificate_key {server.key}; "
        f"ssl_client_certificate {own.ca}; ssl_verify_client on;"
    )
    async with nginx(context, "one", server=directives, listen="{address}:{port} ssl") as origin:
        url = origin.url("one").replace("http:", "https:")
        ca = f'ca = "{own.ca}"'
        certificate = (f'client_cert = "{client.cert}"', f'client_key = "{client.key}"')
        name = f'server_name = "{server.name}"'
        none_down = 'down_for = "0s"'
        async with routed(context, group(f'["{url}"]', ca, *certificate, name, none_down)) as context:
            answer = await ask(context, "/")
            equal(answer.status, 200, f"status, where the body is {answer.body!r}")
            saw = answer.json()
            equal(
                (saw["sni"], saw["client"]), (server.name, f"CN={client.name}"), "name asked for, and whose certificate"
            )
            for what, keys, status in (
                ("without a client's certificate", (ca, name), 400),
                ("under a name that it has not", (ca, *certificate, 'server_name = "three.example"'), 502),
                ("under its address alone", (ca, *certificate), 502),
                ("with another authority", (f'ca = "{other.ca}"', *certificate, name), 502),
                ("with the system's authorities", (*certificate, name), 502),
                ("as it should be", (ca, *certificate, name), 200),
            ):
                await context.proxy.reload(group(f'["{url}"]', *keys, none_down))
                equal((await ask(context, "/")).status, status, f"status {what}")
            server = await context.proxy.server("app", url)
            check("certificate" in (server["last_failure"] or "").lower(), f"why it failed: {server}")
            # A check of its health speaks TLS as requests do.
            await context.proxy.reload(group(f'["{url}"]', ca, *certificate, name, more=QUICK))
            await context.proxy.until_state("app", url, "up")
            await context.proxy.reload(group(f'["{url}"]', ca, *certificate, more=QUICK))
            await context.proxy.until_state("app", url, "unhealthy")


# === limits ===


async def max_connections(context):
    """Two places and two that wait; the next is answered 503 at once, and those that waited get their turn."""
    async with fleet(context, {"one": "node"}) as ships:
        servers = f'[{{ url = "{ships.url("one")}", max_connections = 2 }}]'
        async with routed(context, group(servers, "queue = 2", 'queue_timeout = "30s"'), workers=1) as context:
            direct = DirectStreams(ships.peers["one"].port)
            held = [asyncio.create_task(ask(context, f"/stream?token=t{number}")) for number in range(2)]

            async def in_flight():
                return (await context.proxy.server("app", ships.url("one")))["in_flight"]

            await until(in_flight, lambda count: count == 2, "requests in flight")
            more = [asyncio.create_task(ask(context, "/hello")) for _ in range(3)]
            done, waiting = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
            equal([task.result().status for task in done], [503], "status of one too many")
            equal((await ask(context, "/hello")).status, 503, "status of the next, with the queue full")
            equal([task for task in waiting if task.done()], [], "those that wait and were answered")
            equal(await in_flight(), 2, "requests in flight, with others waiting")
            await direct.go_on("t0")
            equal([(await task).status for task in waiting], [200, 200], "statuses of those that waited")
            await direct.go_on("t1")
            equal([(await task).body for task in held], [b"first\nsecond\n"] * 2, "bodies of those that held a place")
            equal((await ask(context, "/hello")).status, 200, "status with places free")


class DirectStreams:
    """Lets Node's `/stream` go on, past the proxy."""

    def __init__(self, port):
        self.port = port

    async def go_on(self, token):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET /stream-more?token={token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        equal(answer.split()[1], b"204", "status of /stream-more")


async def queue_timeout(context):
    """Who waited too long is answered 503, and a tunnel takes a place like a request does."""
    async with fleet(context, {"one": "node"}) as ships:
        servers = f'[{{ url = "{ships.url("one")}", max_connections = 2 }}]'
        async with routed(context, group(servers, "queue = 10", 'queue_timeout = "1s"')) as context:
            tunnels = [await ships.open(context, client) for client in LANGUAGES]
            start = time.monotonic()
            answers = await asyncio.gather(*(ask(context, "/hello") for _ in range(4)))
            equal([answer.status for answer in answers], [503] * 4, "statuses of those that waited in vain")
            check(0.9 < time.monotonic() - start < 10, f"they waited {time.monotonic() - start:.1f} s, not one")
            await tunnels.pop().close()

            async def status():
                return (await ask(context, "/hello")).status

            await until(status, lambda status: status == 200, "status once a tunnel has ended")
            for tunnel in tunnels:
                await echoes(tunnel, 1000)
                await tunnel.close()


# === the config and the operator change a group ===


async def gone_server(context, close):
    """Tunnels to a server that leaves the config stay, or hear Close 1012 where the config says so."""
    keys = ("close_tunnels_of_gone_servers = true",) if close else ()
    async with fleet(context, {"one": "python", "two": "node"}) as ships:
        async with routed(context, group(ships.urls(), *keys)) as context:
            tunnels = [await ships.open(context, client) for _ in range(4) for client in LANGUAGES]
            all_of(collections.Counter(tunnel.server for tunnel in tunnels), ships.peers)
            await context.proxy.reload(group(ships.urls("two"), *keys))
            for tunnel in tunnels:
                if close and tunnel.server == "one":
                    await tunnel.client.expect_close(SERVICE_RESTART)
                    await tunnel.upstream.expect_close(SERVICE_RESTART)
                    tunnel.finish()
                else:
                    await echoes(tunnel, 10_000)
            new = [await ships.open(context, "node") for _ in range(4)]
            equal({tunnel.server for tunnel in new}, {"two"}, "servers of new tunnels")
            equal(
                [server["server"] for server in await context.proxy.servers("app")], [ships.url("two")], "servers told"
            )
            stay = [tunnel for tunnel in tunnels if not (close and tunnel.server == "one")]
            # The server is back in the config; its tunnels have lived through that as well.
            await context.proxy.reload(group(ships.urls(), *keys))
            for tunnel in (*stay, *new):
                await echoes(tunnel, 1000)
                await tunnel.close()


async def drain(context):
    """A drained server keeps its tunnels and gets nothing new, until it is taken back."""
    async with fleet(context, {"one": "python", "two": "node"}) as ships:
        async with routed(context, group(ships.urls())) as context:
            tunnels = [await ships.open(context, client) for _ in range(2) for client in LANGUAGES]
            all_of(collections.Counter(tunnel.server for tunnel in tunnels), ships.peers)
            one, two = ships.url("one"), ships.url("two")
            told = await context.proxy.drain("app", one, True)
            equal(told, {"upstream": "app", "server": one, "drain": True, "servers": 1}, "answer to the PUT")
            await context.proxy.until_state("app", one, "draining")
            new = [await ships.open(context, "node") for _ in range(6)]
            equal({tunnel.server for tunnel in new}, {"two"}, "servers of new tunnels")
            for tunnel in tunnels:
                await echoes(tunnel, 1000)
            # A reload that is about something else does not take it back.
            await context.proxy.reload(group(ships.urls(), 'connect_timeout = "4s"'))
            equal((await context.proxy.server("app", one))["state"], "draining", "state after a reload")
            told = await context.proxy.drain("app", one, False)
            equal(told, {"upstream": "app", "server": one, "drain": False, "servers": 1}, "answer to the PUT")
            await context.proxy.until_state("app", one, "up")
            more = [await ships.open(context, "node") for _ in range(4)]
            all_of(collections.Counter(tunnel.server for tunnel in more), ships.peers)
            for body, status, word in (
                ({"upstream": "app", "server": "http://127.0.0.1:1", "drain": True}, 404, two),
                ({"upstream": "nobody", "server": one, "drain": True}, 404, "app"),
                ({"upstream": "app", "server": one}, 400, "drain"),
                ({"upstream": "app", "server": one, "drain": "yes"}, 400, ""),
                ([], 400, ""),
            ):
                got, said = await context.proxy.api("PUT", "/api/upstreams", json.dumps(body))
                equal((got, word in said), (status, True), f"status of {body}, and whether it names {word!r}: {said}")
            got, _ = await context.proxy.api("PUT", "/api/upstreams", "no json")
            equal(got, 400, "status of what is no JSON")
            wanted = json.dumps({"upstream": "app", "server": one, "drain": True})
            got, _ = await context.proxy.api("PUT", "/api/upstreams", wanted, Origin="https://evil.test")
            equal(got, 403, "status of a page of another origin")
            equal((await context.proxy.server("app", one))["state"], "up", "state after what was refused")
            for tunnel in (*tunnels, *new, *more):
                await tunnel.close()


async def drained_under_load(context):
    """Servers are drained and taken back under load; no request is lost."""
    async with nginx(context, "a", "b") as origin:
        async with routed(context, group(origin.urls())) as context:
            async with Load(context, threads=4) as load:
                for name, other in (("a", "b"), ("b", "a")) * 3:
                    await context.proxy.drain("app", origin.url(name), True)
                    await load.more(50, other)
                    await context.proxy.drain("app", origin.url(name), False)
                    await load.more(20, name)
            equal(load.failed[:3], [], f"{len(load.failed)} failures among {load.answered} requests")


async def statistics(context):
    """What is counted of a server lives through reloads, for as long as it is in the config."""
    async with nginx(context, "a", "b") as origin:
        a = origin.url("a")
        keys = ("retries = 0", "eject_after = 100")
        both, alone = group(origin.urls(), *keys), group(f'["{a}"]', *keys)
        async with routed(context, alone) as context:
            await servers_of(context, 20)
            origin.set("a", "failing", on=True)
            for _ in range(3):
                equal((await ask(context, "/")).status, 503, "status")
            origin.set("a", "failing", on=False)
            before = await context.proxy.server("app", a)
            equal((before["requests"], before["failures"]), (23, 3), "requests and failures")
            check(before["latency_seconds"] > 0, f"no latency: {before}")
            check(before["last_failure"] and before["last_failure_seconds_ago"] >= 0, f"no last failure: {before}")
            await context.proxy.reload(both)
            after = await context.proxy.server("app", a)
            told = ("requests", "failures", "last_failure")
            equal([after[key] for key in told], [before[key] for key in told], "statistics after the reload")
            check(after["since_seconds"] >= before["since_seconds"], f"since_seconds fell: {before}, {after}")
            await servers_of(context, 20)
            equal(sum(server["requests"] for server in await context.proxy.servers("app")), 43, "requests of both")
            equal(await sample(context, "upstream_requests_total", upstream="app"), 43, "the series' requests")


async def reloads_under_load(context):
    """Servers come and go by reloads, and so does the way of balancing; no request is lost."""
    async with nginx(context, "a", "b", "c") as origin:

        def config(names, balance="round_robin"):
            return group(json.dumps([origin.url(name) for name in names]), f'balance = "{balance}"')

        async with routed(context, config("abc")) as context:
            async with Load(context, threads=4) as load:
                for _ in range(3):
                    for names, balance in (("ab", "random_two"), ("c", "least_connections"), ("abc", "round_robin")):
                        await context.proxy.reload(config(names, balance))
                        await load.more(100)
            equal(load.failed[:3], [], f"{len(load.failed)} failures among {load.answered} requests")


async def plain_upstream(context):
    """[upstream] alone is a group and a route, both named "default", with the same keys."""
    async with haproxy(context, "a", "b") as origin:
        text = f'[upstream]\nservers = {weighted(origin, {"a": 1, "b": 3})}\nbalance = "round_robin"\n'
        async with routed(context, text) as context:
            counts = collections.Counter(await servers_of(context, 80))
            near(counts["b"], 60, 0.1, "requests to the server with the weight 3")
            equal(len(await context.proxy.servers("default")), 2, "servers of the group")
            equal(await sample(context, "upstream_requests_total", upstream="default"), 80, "requests to it")
            # With routes, it can be named.
            await context.proxy.reload(text + '[[routes]]\npath = "/x"\nupstream = "default"\n')
            equal([(await ask(context, path)).status for path in ("/x", "/")], [200, 404], "statuses with one route")


CASES = {
    "round_robin": round_robin,
    "weights": weights,
    "random_two": random_two,
    "least_connections": least_connections,
    "least_connections by weight": least_connections_by_weight,
    "hash by header": functools.partial(hashed, hash_on="header:X-Room", field="X-Room", value="{}"),
    "hash by cookie": functools.partial(hashed, hash_on="cookie:room", field="Cookie", value="a=b; room={}; c=d"),
    "hash by address": hashed_by_address,
    "sticky": sticky,
    "sticky handshake": sticky_handshake,
    "health by http": health_http,
    "health, its defaults": health_defaults,
    "health by tcp": health_tcp,
    "all unhealthy": all_unhealthy,
    "ejection": ejection,
    "silence": silence,
    "eject_share": eject_share,
    "failed connect": failed_connect,
    "retries": retries,
    "retry budget": retry_budget,
    "kept connections that close": closing,
    "slow start": slow_start,
    "killed under load": functools.partial(under_load, end=killed, checked=False),
    "killed under load, with checks": functools.partial(under_load, end=killed, checked=True),
    "stopped under load": functools.partial(under_load, end=stopped, checked=False),
    "nginx reloaded under load": reloaded_under_load,
    "frozen and killed under load": functools.partial(under_load, end=frozen_and_killed, checked=True),
    "frozen and thawed under load": frozen_and_thawed,
    "localhost": localhost,
    "unix sockets": unix,
    "https": https,
    "max_connections": max_connections,
    "queue_timeout": queue_timeout,
    "gone server, its tunnels kept": functools.partial(gone_server, close=False),
    "gone server, its tunnels closed": functools.partial(gone_server, close=True),
    "drain": drain,
    "drained under load": drained_under_load,
    "statistics": statistics,
    "reloads under load": reloads_under_load,
    "upstream without routes": plain_upstream,
}


def groups():
    cases = tuple(Case(f"upstreams/{name}", run, seconds=90) for name, run in CASES.items())
    yield Group("upstreams", None, None, cases)
