"""Heads: bytes that follow the upgrade request, or the 101, in the same write.

No library writes such things, so one end is raw; the other is a real program wherever one can see the difference.
"""

import asyncio
import functools
import hashlib
import socket
import ssl

from cases.websocket import LANGUAGES, Tunnel
from lib import raw
from lib.peers import End
from lib.suite import Case, Group, check, equal

TUNNELS = 1000
AT_ONCE = 8
"""Tunnels of the long case that are open at the same time."""

HALF_CLOSE_SECONDS = 10
"""How long the client waits for the upstream's end."""


def pattern(size, seed):
    """Bytes that show any loss, doubling or exchange."""
    block = hashlib.sha256(seed.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


# === the downstream head: frames in the same TLS write as the upgrade request ===


async def downstream_head(context, after_request, later, expected):
    """Sends the upgrade request with `after_request` in one TLS write, `later` after the 101; the upstream echoes."""
    conn = f"h{context.world.number()}"
    upstream = End(context.upstream, conn)
    async with raw.tls(context.world, context.proxy.port) as (reader, writer):
        key = raw.new_key()
        writer.write(raw.upgrade_request(f"/echo/{conn}", key=key) + after_request)
        response = await raw.read_head(reader)
        equal(response.status, 101, "status")
        equal(response.fields.get("sec-websocket-accept"), raw.accept_of(key), "Sec-WebSocket-Accept")
        await upstream.expect("open")
        if later:
            writer.write(later)
        for opcode, payload in expected:
            await upstream.expect("message", size=len(payload), sha256=hashlib.sha256(payload).hexdigest())
            equal(await raw.read_frame(reader), (opcode, payload), "echo")
        writer.write(raw.frame(raw.CLOSE, (1000).to_bytes(2, "big"), masked=True))
        equal((await raw.read_frame(reader))[0], raw.CLOSE, "opcode of the answer to close")
        await upstream.expect_close(1000)


async def one_frame(context):
    await downstream_head(context, raw.frame(raw.TEXT, "early", masked=True), b"", [(raw.TEXT, b"early")])


async def three_frames(context):
    payloads = [b"first", pattern(300, "second"), b"third"]
    head = b"".join(raw.frame(raw.BINARY, payload, masked=True) for payload in payloads)
    await downstream_head(context, head, b"", [(raw.BINARY, payload) for payload in payloads])


async def cut_frame(context):
    """The head ends within a frame: in its header, its mask, its payload."""
    payload = pattern(200, "cut")
    whole = raw.frame(raw.BINARY, payload, masked=True)
    for cut in (1, 2, 3, 6, 8, 100, len(whole) - 1):
        await downstream_head(context, whole[:cut], whole[cut:], [(raw.BINARY, payload)])


async def long_head(context):
    """The frame goes on over several TLS records."""
    payload = pattern(60_000, "long")
    await downstream_head(context, raw.frame(raw.BINARY, payload, masked=True), b"", [(raw.BINARY, payload)])


async def no_head(context):
    payload = b"after the 101"
    await downstream_head(context, b"", raw.frame(raw.BINARY, payload, masked=True), [(raw.BINARY, payload)])


DOWNSTREAM = {
    "one frame": one_frame,
    "three frames": three_frames,
    "cut frame": cut_frame,
    "60 kB frame": long_head,
    "empty": no_head,
}


# === the upstream head: frames in the same write as the 101 ===


async def upstream_head(context, client, payloads):
    """The upstream sends its 101 and the frames in one write, then echoes one frame and answers the close."""

    async def upstream(request, reader, writer):
        frames = b"".join(raw.frame(raw.BINARY, payload, masked=False) for payload in payloads)
        writer.write(raw.upgrade_response(request) + frames)
        writer.write(raw.frame(*await raw.read_frame(reader), masked=False))
        opcode, payload = await raw.read_frame(reader)
        equal(opcode, raw.CLOSE, "opcode of the client's last frame")
        writer.write(raw.frame(raw.CLOSE, payload, masked=False))

    tunnel = await ask_raw(context, client, upstream)
    await tunnel.client.expect("open")
    for payload in payloads:
        sha256 = hashlib.sha256(payload).hexdigest()
        await tunnel.client.expect("message", kind="binary", size=len(payload), sha256=sha256)
    tunnel.client.do("text", data="and back")
    await tunnel.client.expect("sending")
    await tunnel.client.expect("message", kind="text", data="and back")
    tunnel.client.do("close", code=1000, reason="done")
    await tunnel.prepared
    await tunnel.client.expect_close(1000)
    equal(tunnel.client.peer.leftovers(tunnel.client.conn), [], "what came beside")


async def head_and_goodbye(context, client):
    """101, a message, a close frame and the end of the connection, all at once."""

    async def upstream(request, reader, writer):
        message = raw.frame(raw.TEXT, "hello and goodbye", masked=False)
        goodbye = raw.frame(raw.CLOSE, (3000).to_bytes(2, "big") + b"bye", masked=False)
        writer.write(raw.upgrade_response(request) + message + goodbye)
        writer.write_eof()
        await reader.read()

    tunnel = await ask_raw(context, client, upstream)
    await tunnel.client.expect("open")
    await tunnel.client.expect("message", kind="text", data="hello and goodbye")
    await tunnel.client.expect_close(3000, "bye")
    await tunnel.prepared


async def ask_raw(context, client, handler):
    """Has a real client connect to an upstream that this case answers for."""
    return await Tunnel.ask(context, client, "plain", prepare=lambda path: context.upstream.on(path, handler))


UPSTREAM = {
    "one frame": functools.partial(upstream_head, payloads=[b"early"]),
    "three frames": functools.partial(upstream_head, payloads=[b"first", pattern(300, "second"), b"third"]),
    "60 kB frame": functools.partial(upstream_head, payloads=[pattern(60_000, "long")]),
    "1 MB frame": functools.partial(upstream_head, payloads=[pattern(1_000_000, "longer")]),
    "empty": functools.partial(upstream_head, payloads=[]),
    "and goodbye": head_and_goodbye,
}


# === half-close: the upstream has sent all it will, the client has not ===


async def half_close(context):
    async def upstream(request, reader, writer):
        writer.write(raw.upgrade_response(request) + raw.frame(raw.TEXT, "my last", masked=False))
        writer.write_eof()
        equal(await raw.read_frame(reader), (raw.TEXT, b"not mine"), "frame after the upstream's end")
        equal(await reader.read(), b"", "rest")

    answer = context.upstream.on("/half-close", upstream)
    # A blocking socket in a thread: asyncio closes a TLS connection whole when the peer's side of it ends.
    await asyncio.to_thread(read_to_the_end_then_write, context)
    await answer


def read_to_the_end_then_write(context):
    trust = ssl.create_default_context(cafile=str(context.world.pki.ca))
    with (
        socket.create_connection(("127.0.0.1", context.proxy.port), timeout=HALF_CLOSE_SECONDS) as tcp,
        trust.wrap_socket(tcp, server_hostname="localhost", suppress_ragged_eofs=False) as tls,
    ):
        tls.sendall(raw.upgrade_request("/half-close"))
        seen = b""
        while data := tls.recv(4096):
            seen += data
        frame = raw.frame(raw.TEXT, "my last", masked=False)
        check(seen.startswith(b"HTTP/1.1 101 ") and seen.endswith(b"\r\n\r\n" + frame), f"got {seen!r}")
        tls.sendall(raw.frame(raw.TEXT, "not mine", masked=True))


# === both heads, many times ===


async def both_heads(context):
    """Each tunnel has a head on both sides; every byte arrives once and in order."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number):
        up, down = pattern(1 + number % 500, f"up {number}"), pattern(1 + number % 700, f"down {number}")

        async def upstream(request, reader, writer):
            writer.write(raw.upgrade_response(request) + raw.frame(raw.BINARY, down, masked=False))
            equal(await raw.read_frame(reader), (raw.BINARY, up), f"downstream head of tunnel {number}")
            writer.write(raw.frame(raw.TEXT, "after", masked=False))
            equal(await raw.read_frame(reader), (raw.TEXT, b"also after"), f"next frame of tunnel {number}")
            equal(await reader.read(), b"", f"rest of tunnel {number}")

        async with slots:
            answer = context.upstream.on(f"/head/{number}", upstream)
            async with raw.tls(context.world, context.proxy.port) as (reader, writer):
                head = raw.frame(raw.BINARY, up, masked=True)
                writer.write(raw.upgrade_request(f"/head/{number}") + head)
                equal((await raw.read_head(reader)).status, 101, f"status of tunnel {number}")
                equal(await raw.read_frame(reader), (raw.BINARY, down), f"upstream head of tunnel {number}")
                equal(await raw.read_frame(reader), (raw.TEXT, b"after"), f"next frame of tunnel {number}")
                writer.write(raw.frame(raw.TEXT, "also after", masked=True))
                await writer.drain()
            await answer

    async with asyncio.TaskGroup() as tasks:
        for number in range(TUNNELS):
            tasks.create_task(one(number))


def groups(policy):
    for upstream in LANGUAGES:
        cases = tuple(
            Case(f"{policy}/raw/{upstream}/downstream head: {name}", run) for name, run in DOWNSTREAM.items()
        )
        yield Group(f"{policy}/raw/{upstream}", policy, upstream, cases)
    cases = [
        Case(f"{policy}/{client}/raw/upstream head: {name}", functools.partial(run, client=client))
        for client in LANGUAGES
        for name, run in UPSTREAM.items()
    ]
    cases.append(Case(f"{policy}/raw/raw/half-close", half_close))
    cases.append(Case(f"{policy}/raw/raw/both heads, {TUNNELS} tunnels", both_heads, seconds=120))
    yield Group(f"{policy}/heads", policy, "raw", tuple(cases))
