"""Drain: on SIGTERM every tunnel hears Close 1001 on both sides, and the process ends with 0."""

import asyncio
import functools
import signal
import time

from cases.websocket import LANGUAGES, Tunnel
from lib import raw
from lib.suite import Case, Group, check, equal

GOING_AWAY = 1001
GRACE_SECONDS = 4
"""The `drain_grace` of this file's proxies."""

SETTINGS = {"server": {"drain_grace": f"{GRACE_SECONDS}s"}}
PAYLOAD = bytes(range(256)) * 4


async def ended(context):
    """Waits for the proxy's end, which must be a good one."""
    equal(await context.proxy.process.wait(), 0, "exit code")
    check(not (panics := context.proxy.panics()), f"it panicked: {panics[:3]}")


async def tunnels_hear_of_it(context):
    """Real clients and a real upstream; a connection that is idle between requests ends as well."""
    tunnels = [await Tunnel.open(context, client, "plain") for client in LANGUAGES]
    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
        start = time.monotonic()
        context.proxy.process.signal(signal.SIGTERM)
        for tunnel in tunnels:
            await tunnel.client.expect_close(GOING_AWAY)
            await tunnel.upstream.expect_close(GOING_AWAY)
            tunnel.finish()
        equal(await reader.read(), b"", "what the idle connection got")
    await ended(context)
    check(time.monotonic() - start < GRACE_SECONDS, "it waited for its grace with nothing left to wait for")
    try:
        async with raw.tcp(context.proxy.port):
            check(False, "its port still takes connections")
    except ConnectionRefusedError:
        pass


async def raw_tunnel(context, client, upstream):
    """A tunnel with raw ends: both get a reader and a writer."""

    async def handler(request, reader, writer):
        writer.write(raw.upgrade_response(request))
        await upstream(reader, writer)

    answer = context.upstream.on("/drain", handler)
    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
        writer.write(raw.upgrade_request("/drain"))
        equal((await raw.read_head(reader)).status, 101, "status")
        await client(reader, writer)
        await answer


async def expect_going_away(reader):
    opcode, payload = await raw.read_frame(reader)
    equal((opcode, int.from_bytes(payload[:2], "big")), (raw.CLOSE, GOING_AWAY), "frame")


async def amid_a_frame(context):
    """The Close must not cut a frame that is half through."""
    frame = raw.frame(raw.BINARY, PAYLOAD, masked=True)
    half = len(frame) // 2
    half_arrived = asyncio.Event()

    async def client(reader, writer):
        writer.write(frame[:half])
        await half_arrived.wait()
        context.proxy.process.signal(signal.SIGTERM)
        await expect_going_away(reader)
        writer.write(frame[half:])
        writer.write(raw.frame(raw.CLOSE, GOING_AWAY.to_bytes(2, "big"), masked=True))
        await writer.drain()

    async def upstream(reader, writer):
        seen = await reader.readexactly(half)
        half_arrived.set()
        seen += await reader.readexactly(len(frame) - half)
        equal(seen, frame, "frame at the upstream")
        await expect_going_away(reader)
        writer.write(raw.frame(raw.CLOSE, GOING_AWAY.to_bytes(2, "big"), masked=False))
        await writer.drain()

    await raw_tunnel(context, client, upstream)
    await ended(context)


async def deaf_ends(context, signals):
    """Neither end answers the Close: the grace ends the wait, or a second signal does."""
    over = asyncio.Event()

    async def client(reader, _writer):
        start = time.monotonic()
        context.proxy.process.signal(signal.SIGTERM)
        await expect_going_away(reader)
        for _ in range(signals - 1):
            context.proxy.process.signal(signal.SIGTERM)
        if signals == 1:
            await ended(context)
        else:
            await context.proxy.process.wait()
            check(time.monotonic() - start < GRACE_SECONDS / 2, "the second signal did not end it at once")
        over.set()

    async def upstream(_reader, _writer):
        await over.wait()

    await raw_tunnel(context, client, upstream)


def groups(policy):
    def group(name, upstream, run):
        case = Case(f"{policy}/drain/{name}", run)
        return Group(f"{policy}/drain/{name}", policy, upstream, (case,), SETTINGS, checked_after=False)

    for upstream in LANGUAGES:
        yield group(f"{upstream} upstream", upstream, tunnels_hear_of_it)
    yield group("amid a frame", "raw", amid_a_frame)
    yield group("deaf ends", "raw", functools.partial(deaf_ends, signals=1))
    yield group("deaf ends, second signal", "raw", functools.partial(deaf_ends, signals=2))
