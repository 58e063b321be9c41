"""Bad input from clients and from upstreams: the right answer in time, and a metric that says why.

That nothing of it is left behind is checked after each group, see lib/suite.py.
"""

import asyncio
import functools
import socket
import ssl
import time

from cases.openssl import client_hello, request
from lib import proxies, raw
from lib.suite import Case, Group, check, equal

SETTINGS = {
    "tls": {"handshake_timeout": "3s"},
    "http": {"header_timeout": "3s"},
    "upstream": {"connect_timeout": "3s", "response_timeout": "3s", "down_for": "0s"},
}
"""Deadlines short enough to be waited for; and no server counts as down, so that each case meets it afresh."""

IN_TIME = 12
"""Seconds within which a deadline of `SETTINGS` must show, on a machine that has other things to do."""

METRIC_SECONDS = 5
"""How long a counter may take to count what just happened."""

HEADER_BYTES = 256 * 1024
"""More than a request's header may have."""


async def counts(context, run, metric, times=1, **labels):
    """Runs `run`, which must make the counter grow by `times`."""
    if not context.proxy.is_headpin:
        return await run(context)

    async def read():
        return proxies.sample(await context.proxy.metrics(), f"headpin_{metric}", **labels) or 0

    before = await read()
    await run(context)
    deadline = time.monotonic() + METRIC_SECONDS
    while (now := await read()) < before + times:
        check(time.monotonic() < deadline, f"{metric} {labels} went from {before:g} to {now:g}, not up by {times}")
        await asyncio.sleep(0.05)  # between two polls


def counting(run, metric, times=1, **labels):
    return functools.partial(counts, run=run, metric=metric, times=times, **labels)


async def ask(context, data):
    """Sends one request; the head and the body of its answer."""
    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
        writer.write(data)
        head = await raw.read_head(reader)
        return head, await raw.read_body(reader, head)


# === from the client ===


async def refused_upgrade(context, statuses, **options):
    head, _ = await ask(context, raw.upgrade_request("/bad", **options))
    check(head.status in statuses, f"status {head.status}, not {' or '.join(map(str, statuses))}")
    return head


async def version_12(context):
    head = await refused_upgrade(context, [426], version="12")
    equal(head.fields.get("sec-websocket-version"), "13", "Sec-WebSocket-Version")


async def oversized_header(context):
    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
        answer = asyncio.create_task(raw.read_head(reader))
        writer.write(b"GET /big HTTP/1.1\r\nHost: localhost\r\nX-Big: ")
        sent = 0
        while not answer.done() and sent < HEADER_BYTES:
            writer.write(b"x" * 4096)
            sent += 4096
            await asyncio.wait({answer}, timeout=0.005)  # lets the answer come before all is sent
        await asyncio.wait({answer}, timeout=IN_TIME)
        check(answer.done(), f"no answer to a header of {sent} bytes")
        equal(answer.result().status, 431, "status")


async def no_http(context):
    head, _ = await ask(context, b"this is no request\r\n\r\n")
    equal(head.status, 400, "status")


async def two_lengths(context):
    """RFC 9112 section 6.3: a message whose length is in doubt is refused."""
    lengths = "Content-Length: 5\r\nContent-Length: 6\r\n"
    head, _ = await ask(context, f"POST / HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\nhello!".encode())
    equal(head.status, 400, "status")


async def client_leaves(context):
    """The client is gone before the upstream has answered its upgrade request."""
    arrived = asyncio.Event()

    async def upstream(_request, reader, _writer):
        arrived.set()
        equal(await reader.read(), b"", "what followed the request")

    answer = context.upstream.on("/leave", upstream)
    async with raw.tls(context.world, context.proxy.port) as (_, writer):
        writer.write(raw.upgrade_request("/leave"))
        await arrived.wait()
    await answer


async def stalls(context):
    """Clients that stop at some point: each connection is ended in time."""
    hello, port = client_hello(), context.proxy.port
    trust = ssl.create_default_context(cafile=str(context.world.pki.ca))

    def stall(data, *, in_tls, what):
        with socket.create_connection(("127.0.0.1", port), timeout=IN_TIME) as tcp:
            stream = trust.wrap_socket(tcp, server_hostname="localhost") if in_tls else tcp
            stream.sendall(data)
            try:
                while stream.recv(4096):
                    pass
            except (ConnectionResetError, ssl.SSLError):
                pass
            except TimeoutError:
                check(False, f"still open after {IN_TIME} s: {what}")

    await asyncio.gather(
        asyncio.to_thread(stall, b"", in_tls=False, what="nothing sent"),
        asyncio.to_thread(stall, hello[: len(hello) // 2], in_tls=False, what="half a ClientHello"),
        asyncio.to_thread(stall, hello, in_tls=False, what="half a handshake"),
        asyncio.to_thread(stall, b"", in_tls=True, what="no request"),
        asyncio.to_thread(stall, request()[:20], in_tls=True, what="half a header"),
    )


# === from the upstream ===


async def answered(context, handler, status):
    """An upgrade request and a plain one to an upstream that does this: the status of both."""
    for data in (raw.upgrade_request("/answer"), request("/answer")):
        done = context.upstream.on("/answer", handler)
        head, _ = await ask(context, data)
        equal(head.status, status, "status")
        await done


async def wrong_accept(context):
    async def upstream(request, _reader, writer):
        request.fields["sec-websocket-key"] = raw.new_key()
        writer.write(raw.upgrade_response(request))
        await writer.drain()

    done = context.upstream.on("/wrong", upstream)
    head, _ = await ask(context, raw.upgrade_request("/wrong"))
    equal(head.status, 502, "status")
    await done


async def plain_answer(context):
    """Another answer than 101 reaches the client as it is."""

    async def upstream(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 Fine\r\nContent-Length: 8\r\nX-Reason: just so\r\n")
        writer.write(b"Connection: close\r\n\r\nno need\n")
        await writer.drain()

    done = context.upstream.on("/plain", upstream)
    head, body = await ask(context, raw.upgrade_request("/plain"))
    equal((head.status, head.fields.get("x-reason"), body), (200, "just so", b"no need\n"), "answer")
    await done


async def cut_answer(context):
    async def upstream(_request, _reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Proto")
        await writer.drain()

    await answered(context, upstream, 502)


async def no_answer(context):
    async def upstream(_request, _reader, _writer):
        pass

    await answered(context, upstream, 502)


async def garbage_answer(context):
    async def upstream(_request, _reader, writer):
        writer.write(b"SSH-2.0-interop\r\n\r\n" * 10)
        await writer.drain()

    await answered(context, upstream, 502)


async def silent_upstream(context):
    async def upstream(_request, reader, _writer):
        equal(await reader.read(), b"", "what followed the request")

    async with asyncio.timeout(2 * IN_TIME):
        await answered(context, upstream, 504)


async def cut_body(context):
    """A body that ends early must not look whole to the client."""

    async def upstream(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    done = context.upstream.on("/cut", upstream)
    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
        writer.write(request("/cut"))
        try:
            head = await raw.read_head(reader)
            if head.status == 200:
                body = await raw.read_body(reader, head)
                check(False, f"got a whole body: {body!r}")
            equal(head.status, 502, "status")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
    await done


async def unreachable(context):
    for data in (raw.upgrade_request("/"), request("/")):
        head, _ = await ask(context, data)
        equal(head.status, 502, "status")


def bad_upgrade(statuses, **options):
    run = functools.partial(refused_upgrade, statuses=statuses, **options)
    return counting(run, "upgrades_total", result="bad_request")


CASES = {
    "upgrade without key": bad_upgrade([400], key=""),
    "upgrade with a short key": bad_upgrade([400], key="c2hvcnQ="),
    "upgrade by version 12": counting(version_12, "upgrades_total", result="bad_request"),
    "upgrade by GET with a body": bad_upgrade([400], extra=["Content-Length: 5"], body=b"hello"),
    "upgrade by POST": bad_upgrade([400, 405], method="POST", extra=["Content-Length: 0"]),
    "upgrade by HTTP/1.0": bad_upgrade([400, 426, 505], line="HTTP/1.0"),
    "oversized header": counting(oversized_header, "http_connections_closed_total", reason="bad_request"),
    "no HTTP": counting(no_http, "http_connections_closed_total", reason="bad_request"),
    "two lengths": counting(two_lengths, "http_connections_closed_total", reason="bad_request"),
    "client leaves early": counting(client_leaves, "upgrades_total", result="abandoned"),
    "stalled clients": counting(
        counting(stalls, "tls_handshakes_total", times=3, result="timeout"),
        "http_connections_closed_total",
        times=2,
        reason="header_timeout",
    ),
    "upstream with a wrong accept": counting(wrong_accept, "upgrades_total", result="bad_response"),
    "upstream answers 200": counting(plain_answer, "upgrades_total", result="declined"),
    "upstream cuts its answer": cut_answer,
    "upstream closes at once": no_answer,
    "upstream answers garbage": counting(garbage_answer, "upgrades_total", result="bad_response"),
    "upstream cuts its body": cut_body,
    "upstream stays silent": counting(silent_upstream, "upgrades_total", result="timeout"),
}

DEAD_CASES = {"upstream refuses": counting(unreachable, "upgrades_total", result="unreachable")}


def groups(policy):
    for kind, cases in (("raw", CASES), ("dead", DEAD_CASES)):
        made = tuple(Case(f"{policy}/bad input/{name}", run, seconds=60) for name, run in cases.items())
        yield Group(f"{policy}/bad input with {kind} upstream", policy, kind, made, SETTINGS)
