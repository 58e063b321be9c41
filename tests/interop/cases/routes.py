"""Routes: which upstream a request goes to, and what a route does to it on the way.

nginx, Python and Node as upstreams. Each case has a proxy of its own, with the config that the case writes out.
"""

import asyncio
import functools
import json
import time

from cases.curl import curl
from cases.drain import GOING_AWAY
from cases.websocket import LANGUAGES, echoes
from lib import raw
from lib.ask import Load, ask
from lib.fleet import fleet
from lib.origins import Nginx, on_the_way
from lib.routed import RoutedHeadpin, routed, sample, until
from lib.suite import Case, Failure, Group, check, equal

USAGE = 64
"""Exit code of `headpin check` for a faulty config."""


def nginx(context, *names, **options):
    return Nginx(context.world, names, **options).running()


def upstreams(origin):
    """An upstream group for each of the servers, under its name."""
    return "\n".join(f'[upstreams.{name}]\nservers = ["{origin.url(name)}"]' for name in origin.names)


def route(upstream, **keys):
    """A route as TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(["[[routes]]", f'upstream = "{upstream}"', *lines, ""])


async def lead_to(context, wanted):
    """Checks where requests go: `wanted` has a server or a status for each host and path."""
    for (host, path), server in wanted.items():
        answer = await ask(context, path, host=host)
        got = answer.json()["server"] if answer.status == 200 else answer.status
        equal(got, server, f"where http://{host}{path} leads")


# === which route ===


async def hosts(context):
    """The exact host before the wildcard, the longer wildcard before the shorter, any host last; in whatever order."""
    routes = [
        route("any"),
        route("wild", host="*.example.com"),
        route("deep", host="*.deep.example.com"),
        route("exact", host="chat.example.com"),
    ]
    wanted = {
        ("chat.example.com", "/"): "exact",
        ("CHAT.Example.com", "/"): "exact",
        ("chat.example.com:8443", "/"): "exact",
        ("www.example.com", "/"): "wild",
        ("www.example.com:1", "/"): "wild",
        ("a.chat.example.com", "/"): "wild",
        ("a.deep.example.com", "/"): "deep",
        ("a.b.deep.example.com", "/"): "deep",
        ("deep.example.com", "/"): "wild",
        ("example.com", "/"): "any",
        ("notexample.com", "/"): "any",
        ("chat.example.com.evil.test", "/"): "any",
        ("127.0.0.1", "/"): "any",
        ("[::1]:8443", "/"): "any",
    }
    async with nginx(context, "exact", "wild", "deep", "any") as origin:
        text = "\n".join([*routes, upstreams(origin)])
        async with routed(context, text) as context:
            await lead_to(context, wanted)
            await context.proxy.reload("\n".join([*reversed(routes), upstreams(origin)]))
            await lead_to(context, wanted)


async def paths(context):
    """Prefixes by whole segments, the longest first; in whatever order."""
    routes = [route("rest"), route("a", path="/a"), route("b", path="/a/b/"), route("file", path="/a/index.html")]
    wanted = {
        "/": "rest",
        "/ab": "rest",
        "/A": "rest",
        "/x/a": "rest",
        "/?/a": "rest",
        "/a": "a",
        "/a/": "a",
        "/a?b": "a",
        "/a/?x=/a/b": "a",
        "/a/bc": "a",
        "/a/x/b": "a",
        "/a/index.htm": "a",
        "/a/b": "b",
        "/a/b/": "b",
        "/a/b?q": "b",
        "/a/b/c/d": "b",
        "/a/index.html": "file",
        "/a/index.html/x": "file",
    }
    async with nginx(context, "rest", "a", "b", "file") as origin:
        text = "\n".join([*routes, upstreams(origin)])
        async with routed(context, text) as context:
            wanted = {("localhost", path): server for path, server in wanted.items()}
            await lead_to(context, wanted)
            await context.proxy.reload("\n".join([*reversed(routes), upstreams(origin)]))
            await lead_to(context, wanted)


async def host_before_path(context):
    """A route of the host is more specific than a longer path of any host."""
    async with nginx(context, "host", "path", "both") as origin:
        routes = [
            route("path", path="/a/b"),
            route("host", host="one.example"),
            route("both", host="one.example", path="/a/b/c"),
        ]
        async with routed(context, "\n".join([*routes, upstreams(origin)])) as context:
            await lead_to(
                context,
                {
                    ("one.example", "/a/b"): "host",
                    ("one.example", "/a/b/c"): "both",
                    ("two.example", "/a/b/c"): "path",
                },
            )


async def no_route(context):
    """404 for a path that the host's routes do not have, 421 for a host that no route has."""
    async with nginx(context, "one") as origin:
        text = route("one", host="one.example", path="/a") + route("one", host="*.two.example") + upstreams(origin)
        async with routed(context, text) as context:
            await lead_to(
                context,
                {
                    ("one.example", "/a/x"): "one",
                    ("one.example", "/"): 404,
                    ("one.example", "/b"): 404,
                    ("x.two.example", "/b"): "one",
                    ("two.example", "/"): 421,
                    ("three.example", "/a"): 421,
                    ("localhost", "/a"): 421,
                },
            )
            # A WebSocket that is wanted there is answered the same, and the connection goes on.
            async with raw.tls(context.world, context.proxy.port) as (reader, writer):
                for _ in range(2):
                    writer.write(raw.upgrade_request("/a"))
                    head = await raw.read_head(reader)
                    equal(head.status, 421, "status of an upgrade")
                    await raw.read_body(reader, head)
        async with routed(context, route("one", path="/a") + upstreams(origin)) as context:
            await lead_to(context, {("any.example", "/a"): "one", ("any.example", "/b"): 404})


async def ambiguous(context):
    """An upstream may read a path otherwise than the proxy; where that would be another route, neither gets it."""
    async with nginx(context, "rest", "a", "b") as origin:
        text = route("rest") + route("a", path="/a") + route("b", path="/a/b") + upstreams(origin)
        async with routed(context, text) as context:
            refused = ("/a%2Fb", "/a%2fb/c", "/a/b%2Fc", "/a%5Cb", "/a%5cb", "/a//b", "//a")
            passed = {"/a/x%2Fy": "a", "/a/b/c%2Fd": "b", "/a/b//c": "b", "/x//y": "rest", "/x%2Fa": "rest"}
            for path in refused:
                answer = await ask(context, path)
                equal(answer.status, 400, f"status of {path}, where {answer.body!r}")
            for path, server in passed.items():
                saw = (await ask(context, path)).json()
                equal((saw["server"], saw["uri"]), (server, path), f"where {path} leads, and as what")
        # With one route there is nothing to confuse.
        async with routed(context, route("rest") + upstreams(origin)) as context:
            for path in ("/a%2Fb", "/a//b", "//a"):
                equal((await ask(context, path)).json()["uri"], path, "path at the upstream")


async def dot_segments(context):
    """A path with dots goes where it leads without them, or nowhere if servers differ in that."""
    async with nginx(context, "rest", "a", "b") as origin:
        text = route("rest") + route("a", path="/a") + route("b", path="/a/b") + upstreams(origin)
        async with routed(context, text) as context:
            wanted = {
                "/a/x/../b": "b",
                "/a/./b": "b",
                "/a/%2e%2E/x": "rest",
                "/a/.%2E/x": "rest",
                "/x/../a": "a",
                "/a/b/../c": "a",
                "/a/.b": "a",
                "/x%2F..%2Fa/b": 400,
                "/a/..%2fx": 400,
                "/../a": 400,
                "/a/../../b": 400,
                "/%2e%2e/a": 400,
            }
            await lead_to(context, {("localhost", path): server for path, server in wanted.items()})


# === what a route answers itself ===


async def fixed_answer(context):
    text = """
[[routes]]
path = "/robots.txt"
respond = { status = 200, body = "User-agent: *\\nDisallow: /\\n", content_type = "text/plain; charset=utf-8" }
[[routes]]
path = "/closed"
respond = { status = 503, body = "back at nine\\n" }
response_headers = { set = ["Retry-After: 3600"] }
[[routes]]
path = "/empty"
respond = { status = 204 }
"""
    async with routed(context, text) as context:
        answer = await curl(context, "/robots.txt", "/robots.txt")
        equal(answer.body, b"User-agent: *\nDisallow: /\n" * 2, "bodies")
        equal(answer.field("Content-Type"), "text/plain; charset=utf-8", "Content-Type")
        equal(answer.connections(), 1, "connections for two requests")
        answer = await curl(context, "--head", "/robots.txt", "/robots.txt")
        equal((answer.statuses(), answer.connections()), ([200, 200], 1), "statuses and connections of HEAD")
        equal(answer.field("Content-Length"), "26", "Content-Length of HEAD")
        answer = await curl(context, "--data-binary", "x" * 100_000, "/closed", "/robots.txt")
        equal(answer.statuses()[0], 503, "status of a POST with a body")
        check(answer.body.startswith(b"back at nine\n"), f"body: {answer.body!r}")
        answer = await curl(context, "/closed")
        equal(answer.field("Retry-After"), "3600", "a field that the route sets")
        answer = await curl(context, "/empty", "/empty")
        equal((answer.statuses(), answer.body), ([204, 204], b""), "statuses and body")
        async with raw.tls(context.world, context.proxy.port) as (reader, writer):
            writer.write(raw.upgrade_request("/closed"))
            equal((await raw.read_head(reader)).status, 503, "status of an upgrade")


async def redirect(context):
    text = """
[[routes]]
path = "/moved"
redirect = { to = "https://example.com/new?from=old", status = 302 }
[[routes]]
redirect = { to = "https://example.com", status = 308 }
"""
    async with routed(context, text) as context:
        wanted = {
            "/": (308, "https://example.com/"),
            "/a/b?c=d&e=%2F": (308, "https://example.com/a/b?c=d&e=%2F"),
            "/moved/x?y": (302, "https://example.com/new?from=old"),
        }
        for path, (status, location) in wanted.items():
            answer = await ask(context, path)
            equal((answer.status, answer.field("location")), (status, location), f"answer to {path}")
        # What looks like another host in a path stays a path.
        for path in ("//evil.test/x", "/%5Cevil.test", "/.evil.test", "/@evil.test"):
            answer = await ask(context, path)
            if answer.status != 400:
                check(
                    answer.field("location").startswith("https://example.com/"),
                    f"{path} is sent to {answer.field('location')}",
                )


# === what a route changes ===


async def prefix(context):
    async with nginx(context, "one") as origin:
        text = (
            route("one", path="/strip/", replace_prefix="/")
            + route("one", path="/old", replace_prefix="/new/deep")
            + route("one", path="/trailing/", replace_prefix="/to/")
            + route("one")
            + upstreams(origin)
        )
        wanted = {
            "/strip": "/",
            "/strip/": "/",
            "/strip/x": "/x",
            "/strip/x/": "/x/",
            "/strip/a%20b/%C3%BC?q=/strip/x&r=%2F": "/a%20b/%C3%BC?q=/strip/x&r=%2F",
            "/strip?q": "/?q",
            "/strip/strip/x": "/strip/x",
            "/old": "/new/deep",
            "/old/x?y": "/new/deep/x?y",
            "/older": "/older",
            "/trailing/x": "/to/x",
        }
        async with routed(context, text) as context:
            for path, uri in wanted.items():
                equal((await ask(context, path)).json()["uri"], uri, f"{path} at the upstream")


async def prefix_of_tunnels(context):
    """Two WebSocket servers under one host, each with its prefix taken off, one of them behind HAProxy."""
    async with fleet(context, {"one": "python", "two": "node"}) as ships:
        async with on_the_way(context.world, ships.peers["two"].port).running() as haproxy:
            text = (
                route("one", path="/one", replace_prefix="/")
                + route("two", path="/two", replace_prefix="/")
                + f'[upstreams.one]\nservers = ["{ships.url("one")}"]\n'
                + f'[upstreams.two]\nservers = ["{haproxy.url("way")}"]\n'
            )
            async with routed(context, text) as context:
                for server in ("one", "two"):
                    for client in LANGUAGES:
                        tunnel = await ships.open(context, client, f"/{server}")
                        equal(tunnel.server, server, "server of the tunnel")
                        equal(tunnel.at_upstream["path"], f"/echo/{tunnel.client.conn}", "path at the upstream")
                        await echoes(tunnel, 100_000)
                        await tunnel.close()


async def headers(context):
    """Set and removed both ways, on plain answers and on the 101 of a WebSocket."""
    changes = """
request_headers = { set = ["X-Tenant: blue", "X-Forwarded-Host: fixed.example"], remove = ["Cookie", "X-Secret"] }
response_headers = { set = ["X-Frame-Options: DENY"], remove = ["Server", "X-Server"] }
"""
    async with nginx(context, "one") as origin, fleet(context, {"two": "node"}) as ships:
        text = f"""
[[routes]]
upstream = "two"
path = "/echo"
{changes}
[[routes]]
upstream = "two"
path = "/inspect"
{changes}
[[routes]]
upstream = "one"
path = "/changed"
{changes}
[[routes]]
upstream = "one"
[upstreams.one]
servers = ["{origin.url("one")}"]
[upstreams.two]
servers = ["{ships.url("two")}"]
"""
        sent = (("X-Tenant", "red"), ("X-Tenant", "green"), ("Cookie", "a=b"), ("x-secret", "yes"), ("X-Kept", "kept"))
        async with routed(context, text) as context:
            plain = await ask(context, "/other", fields=sent)
            equal((plain.json()["cookie"], plain.field("x-server")), ("a=b", "one"), "fields where nothing is changed")
            check(plain.field("server"), "nginx sent no Server, so that nothing could be removed")
            answer = await ask(context, "/changed", fields=sent)
            equal((answer.json()["x_tenant"], answer.json()["cookie"]), ("blue", ""), "fields at nginx")
            equal(answer.field("x-frame-options"), "DENY", "a field of the answer")
            equal((answer.field("server"), answer.field("x-server")), (None, None), "fields taken off the answer")

            pairs = (await ask(context, "/inspect", fields=sent)).json()["rawHeaders"]
            got = [(name.lower(), value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)]
            values = {name: [value for key, value in got if key == name] for name in dict(got)}
            equal(values.get("x-tenant"), ["blue"], "X-Tenant at Node")
            equal(values.get("x-forwarded-host"), ["fixed.example"], "X-Forwarded-Host at Node")
            equal(values.get("x-kept"), ["kept"], "X-Kept at Node")
            equal([name for name in ("cookie", "x-secret") if name in values], [], "fields that had to go")

            conn = f"c{context.world.number()}"
            async with raw.tls(context.world, context.proxy.port) as (reader, writer):
                extra = [f"{name}: {value}" for name, value in sent]
                writer.write(raw.upgrade_request(f"/echo/{conn}", extra=extra))
                head = await raw.read_head(reader)
                equal((head.status, head.fields.get("x-frame-options")), (101, "DENY"), "answer to the upgrade")
                at_upstream = (await ships.peers["two"].expect(conn, "open"))["headers"]
                equal((at_upstream.get("x-tenant"), at_upstream.get("cookie")), ("blue", None), "fields of the upgrade")


async def forwarded(context):
    async with nginx(context, "one") as origin:
        text = route("one", path="/append", forwarded="append") + route("one") + upstreams(origin)
        sent = (("X-Forwarded-For", "192.0.2.1"),)
        async with routed(context, text) as context:
            saw = (await ask(context, "/append", fields=sent)).json()["x_forwarded_for"]
            equal([part.strip() for part in saw.split(",")], ["192.0.2.1", "127.0.0.1"], "X-Forwarded-For, appended to")
            equal((await ask(context, "/", fields=sent)).json()["x_forwarded_for"], "127.0.0.1", "X-Forwarded-For")


# === what a route lets through ===


async def origins(context, language):
    """A page of another origin opens no WebSocket. Everything that is no WebSocket passes."""
    async with fleet(context, {"one": language}) as ships, nginx(context, "two") as origin:
        text = f"""
[[routes]]
path = "/echo"
upstream = "one"
origins = ["https://app.example.com", "https://*.wild.example.com", "http://localhost:3000"]
[[routes]]
path = "/plain"
upstream = "two"
origins = ["https://app.example.com"]
[upstreams.one]
servers = ["{ships.url("one")}"]
[upstreams.two]
servers = ["{origin.url("two")}"]
"""
        let_through = (
            None,
            "https://app.example.com",
            "https://APP.example.com",
            "https://a.wild.example.com",
            "https://a.b.wild.example.com",
            "http://localhost:3000",
        )
        turned_away = (
            "https://evil.test",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evil-app.example.com",
            "https://wild.example.com",
            "https://xwild.example.com",
            "http://localhost:3001",
            "http://localhost",
            "null",
            "",
            "https://app.example.com https://evil.test",
        )
        async with routed(context, text) as context:
            for wanted, values in ((101, let_through), (403, turned_away)):
                for value in values:
                    extra = [] if value is None else [f"Origin: {value}"]
                    conn = f"c{context.world.number()}"
                    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
                        writer.write(raw.upgrade_request(f"/echo/{conn}", extra=extra))
                        equal((await raw.read_head(reader)).status, wanted, f"status with Origin {value!r}")
                        if wanted == 101:
                            writer.write(raw.frame(raw.TEXT, "hello", masked=True))
                            equal(await raw.read_frame(reader), (raw.TEXT, b"hello"), "echo")
            answer = await ask(context, "/plain", fields=[("Origin", "https://evil.test")])
            equal(answer.json()["origin"], "https://evil.test", "Origin of a plain request at the upstream")


async def max_body(context):
    """413 past the limit, by the length that is told and by the bytes that come."""
    async with fleet(context, {"one": "node"}) as ships:
        text = f"""
[[routes]]
path = "/upload"
upstream = "one"
max_body = "64KiB"
[[routes]]
path = "/free"
upstream = "one"
replace_prefix = "/upload"
[upstreams.one]
servers = ["{ships.url("one")}"]
"""
        most = 64 * 1024
        body = context.world.place / f"body-{context.world.number()}"
        async with routed(context, text) as context:
            for size, path, status in (
                (most, "/upload", 200),
                (most + 1, "/upload", 413),
                (3_000_000, "/upload", 413),
                (3_000_000, "/free", 200),
            ):
                body.write_bytes(b"x" * size)
                for options in ((), ("--header", "Transfer-Encoding: chunked")):
                    answer = await curl(context, *options, "--upload-file", body, path)
                    equal(answer.statuses()[-1], status, f"status of {size} bytes to {path}, with {options}")
                    if status == 200:
                        equal(answer.json()["size"], size, "size at the upstream")
            # A client that asks first is told before it has sent anything.
            expect = ("--header", "Expect: 100-continue", "--expect100-timeout", 30)
            answer = await curl(context, *expect, "--upload-file", body, "/upload")
            equal(answer.statuses(), [413], "statuses with Expect: 100-continue")
            # The client that was refused leaves nothing that would spoil the next request to the upstream.
            for _ in range(10):
                equal((await ask(context, "/upload", method="PUT", body=b"12345")).json()["size"], 5, "size after that")
            answer = await ask(context, "/upload", method="POST", body=b"y" * (most + 1), chunked=True)
            equal(answer.status, 413, "status of two chunks that are too large together")
            equal(
                await sample(context, "route_requests_total", route="/upload", status="4xx"), 6, "refusals of the route"
            )
        body.unlink()


async def websocket_off(context):
    async with fleet(context, {"one": "node"}) as ships, nginx(context, "two") as origin:
        text = f"""
[[routes]]
path = "/echo/off"
upstream = "two"
websocket = false
[[routes]]
upstream = "one"
[upstreams.one]
servers = ["{ships.url("one")}"]
[upstreams.two]
servers = ["{origin.url("two")}"]
"""
        async with routed(context, text) as context:
            async with raw.tls(context.world, context.proxy.port) as (reader, writer):
                writer.write(raw.upgrade_request("/echo/off"))
                head = await raw.read_head(reader)
                equal(head.status, 200, "status")
                saw = json.loads(await raw.read_body(reader, head))
                equal((saw["server"], saw["upgrade"]), ("two", ""), "server, and Upgrade there")
            tunnel = await ships.open(context, "python")
            await echoes(tunnel, 1000)
            await tunnel.close()


# === deadlines of a route ===


async def deadlines(context):
    """A route's own response_timeout and idle_timeout, beside a route with the default."""
    never = asyncio.Event()

    async def silent(_request, reader, _writer):
        equal(await reader.read(), b"", "what followed the request")
        never.set()

    async with fleet(context, {"one": "node"}) as ships, raw.Upstream() as upstream:
        text = f"""
[[routes]]
path = "/silent"
upstream = "silent"
response_timeout = "1s"
[[routes]]
path = "/short"
upstream = "one"
replace_prefix = "/"
idle_timeout = "1s"
[[routes]]
upstream = "one"
[upstreams.silent]
servers = ["http://127.0.0.1:{upstream.port}"]
retries = 0
[upstreams.one]
servers = ["{ships.url("one")}"]
"""
        async with routed(context, text) as context:
            long = await ships.open(context, "node")
            short = await ships.open(context, "python", "/short")
            answered = upstream.on("/silent", silent)
            start = time.monotonic()
            equal((await ask(context, "/silent")).status, 504, "status of a request that nobody answers")
            check(1 <= time.monotonic() - start < 15, f"answered after {time.monotonic() - start:.1f} s, not after one")
            await answered
            await short.client.expect("closed")
            await short.upstream.expect("closed")
            short.finish()
            await echoes(long, 1000)
            await long.close()


# === the head policy of a route ===


async def head_policy(context):
    """Routes that pin and routes that copy side by side; a reload changes what open tunnels hold."""

    def text(pinning, copying):
        return f"""
[[routes]]
path = "/pin"
upstream = "one"
replace_prefix = "/"
head_policy = "{pinning}"
[[routes]]
path = "/copy"
upstream = "one"
replace_prefix = "/"
head_policy = "{copying}"
[[routes]]
upstream = "one"
[upstreams.one]
servers = {ships.urls()}
"""

    async with fleet(context, {"one": "python", "two": "node"}) as ships:
        async with routed(context, text("pin", "copy")) as context:

            async def held():
                return await sample(context, "heads_held")

            copying = [await ships.open(context, client, "/copy") for client in LANGUAGES]
            other = [await ships.open(context, client) for client in LANGUAGES]
            equal(await held(), 0, "heads held by routes that copy")
            pinning = [await ships.open(context, client, "/pin") for client in LANGUAGES]
            await until(held, lambda heads: heads == 4, "heads held by two tunnels that pin")
            tunnels = [*copying, *other, *pinning]
            for tunnel in tunnels:
                await echoes(tunnel, 1000)
            equal(await held(), 4, "heads held after the echoes")
            await context.proxy.reload(text("copy", "pin"))
            await until(held, lambda heads: heads == 0, "heads held once the route copies")
            more = await ships.open(context, "node", "/copy")
            await until(held, lambda heads: heads == 2, "heads held by a tunnel of the route that now pins")
            for tunnel in (*tunnels, more):
                await echoes(tunnel, 1000)
                await tunnel.close()


# === reload ===


async def reload(context):
    """Routes come and go under open tunnels, and under requests of a route that stays."""
    async with fleet(context, {"one": "python", "two": "node"}) as ships, nginx(context, "still") as origin:

        def text(*paths):
            routes = "".join(route("tunnels", path=path, replace_prefix="/") for path in paths)
            tunnels = f"[upstreams.tunnels]\nservers = {ships.urls()}\n"
            return routes + route("still", path="/still") + upstreams(origin) + "\n" + tunnels

        async with routed(context, text("/a", "/b")) as context:
            stay = [await ships.open(context, client, "/a") for client in LANGUAGES for _ in range(3)]
            gone = [await ships.open(context, client, "/b") for client in LANGUAGES]
            async with Load(context, threads=3, path="/still") as load:
                await context.proxy.reload(text("/a", "/c"))
                equal((await ask(context, "/b/inspect")).status, 404, "status of a route that has gone")
                new = await ships.open(context, "node", "/c")
                for number in range(1, 10):
                    await context.proxy.reload(text("/a", "/c", *(f"/n{n}" for n in range(number))))
                    await load.more(30)
                for tunnel in (*stay, new):
                    await echoes(tunnel, 10_000)
            equal(load.failed[:3], [], f"failures among {load.answered} requests of a route that stayed")
            for tunnel in gone:
                await tunnel.client.expect_close(GOING_AWAY)
                await tunnel.upstream.expect_close(GOING_AWAY)
                tunnel.finish()
            for tunnel in (*stay, new):
                await tunnel.close()


async def refused_reload(context):
    """A config that is refused changes no route."""
    async with nginx(context, "one") as origin:
        good = route("one", path="/a") + upstreams(origin)
        async with routed(context, good) as context:
            for bad in (
                good + route("nobody", path="/b"),
                good + '[[routes]]\npath = "/b"\n',
                good + route("one", path="b"),
            ):
                before = await context.proxy.reloads("refused")
                context.proxy.text = bad
                context.proxy.write_config()
                await until(
                    lambda: context.proxy.reloads("refused"), lambda count, b=before: count == b + 1, "reloads refused"
                )
                await lead_to(context, {("localhost", "/a"): "one", ("localhost", "/b"): 404})


FAULTS = {
    "no target": ('[[routes]]\npath = "/x"\n', ["upstream", "respond", "redirect"]),
    "two targets": ('[[routes]]\nupstream = "one"\nrespond = { status = 200 }\n', ["upstream", "respond"]),
    "unknown upstream": ('[[routes]]\nupstream = "two"\n', ["two"]),
    "path without a slash": ('[[routes]]\npath = "x"\nupstream = "one"\n', ["path"]),
    "wildcard amid a host": ('[[routes]]\nhost = "a.*.example"\nupstream = "one"\n', ["host"]),
    "two routes alike": (
        '[[routes]]\npath = "/x"\nupstream = "one"\n[[routes]]\npath = "/x/"\nupstream = "one"\n',
        ["/x"],
    ),
    "unknown key": ('[[routes]]\nupstreem = "one"\n', ["upstreem"]),
    "no status": ("[[routes]]\nrespond = { status = 99 }\n", ["status"]),
    "a field that is none": ('[[routes]]\nupstream = "one"\nrequest_headers = { set = ["X Y: z"] }\n', ["X Y"]),
    "a line break in a field": (
        '[[routes]]\nupstream = "one"\nrequest_headers = { set = ["X: a\\r\\nY: b"] }\n',
        ["set"],
    ),
}


async def faults(context):
    """`headpin check` refuses each of these, and names what is wrong."""
    rest = '[upstreams.one]\nservers = ["http://127.0.0.1:9"]\n'

    async def said(text):
        proxy = RoutedHeadpin(context.world, text + rest)
        proxy.write_config()
        argv = [context.world.headpin, "check", "--config", proxy.path]
        code, stdout, stderr = await context.world.processes.run(argv)
        return code, stdout.decode() + stderr

    code, text = await said('[[routes]]\nupstream = "one"\n')
    equal(code, 0, f"exit code for a good config, where it said {text!r}")
    wrong = []
    for name, (faulty, words) in FAULTS.items():
        code, text = await said(faulty)
        missing = [word for word in words if word not in text]
        if code != USAGE or missing:
            wrong.append(f"{name}: exit code {code}, not named: {missing}, said {text[-300:]!r}")
    if wrong:
        raise Failure("\n".join(wrong))


# === what is told of routes ===


async def told(context):
    """Series and the access log name the route and the upstream."""
    async with fleet(context, {"one": "node"}) as ships:
        text = f"""
[[routes]]
name = "greeting"
path = "/hello"
upstream = "servers"
[[routes]]
host = "chat.example.com"
path = "/socket.io/"
respond = {{ status = 418, body = "" }}
[[routes]]
upstream = "servers"
[upstreams.servers]
servers = {ships.urls()}
"""
        async with routed(context, text) as context:
            for _ in range(3):
                equal((await ask(context, "/hello")).status, 200, "status")
            equal((await ask(context, "/nowhere")).status, 404, "status of the upstream's 404")
            equal((await ask(context, "/socket.io/x", host="chat.example.com")).status, 418, "status")
            tunnel = await ships.open(context, "node")

            async def series():
                return [
                    await sample(context, "route_requests_total", route="greeting", status="2xx"),
                    await sample(context, "route_requests_total", route="default", status="4xx"),
                    await sample(context, "route_requests_total", route="chat.example.com/socket.io/", status="4xx"),
                    await sample(context, "route_request_seconds_count", route="greeting"),
                    await sample(context, "route_tunnels_open", route="default"),
                    await sample(context, "upstream_tunnels_open", upstream="servers", server=ships.url("one")),
                    await sample(context, "upstream_server_up", upstream="servers", server=ships.url("one")),
                ]

            await until(series, lambda got: got == [3, 1, 1, 3, 1, 1, 1], "series of the routes")
            equal(await sample(context, "upstream_requests_total", upstream="servers"), 5, "requests to the upstream")
            await tunnel.close()
            await until(lambda: sample(context, "route_tunnels_open"), lambda open_: open_ == 0, "tunnels of routes")

            def about(path):
                fields = [event.get("fields", {}) for event in context.proxy.events()]
                return [(each.get("route"), each.get("upstream")) for each in fields if path in json.dumps(each)]

            async def logged():
                return about('"/hello"')

            lines = await until(logged, lambda lines: len(lines) >= 3, "lines of the access log about /hello")
            equal(lines, [("greeting", "servers")] * 3, "route and upstream in the access log")


CASES = {
    "hosts": hosts,
    "paths": paths,
    "host before path": host_before_path,
    "404 and 421": no_route,
    "ambiguous paths": ambiguous,
    "dot segments": dot_segments,
    "fixed answer": fixed_answer,
    "redirect": redirect,
    "prefix": prefix,
    "prefix of tunnels": prefix_of_tunnels,
    "headers": headers,
    "forwarded": forwarded,
    **{f"origins before {language}": functools.partial(origins, language=language) for language in LANGUAGES},
    "max_body": max_body,
    "websocket off": websocket_off,
    "deadlines": deadlines,
    "head policy": head_policy,
    "reload": reload,
    "refused reload": refused_reload,
    "faults": faults,
    "told": told,
}


def groups():
    yield Group("routes", None, None, tuple(Case(f"routes/{name}", run, seconds=60) for name, run in CASES.items()))
