"""WebSocket through the proxy: each client with each upstream, under each head policy.

A case is written once, as a script over the two ends of a tunnel; see lib/peers.py.
"""

import asyncio
import functools
import hashlib

from lib.peers import End, shorten
from lib.suite import Case, Group, check, equal

LANGUAGES = ("python", "node")
BIG = 16 * 1024 * 1024
CODES = (1000, 1001, 3000, 4999)
ABNORMAL = 1006
"""What an end reports that lost its connection without a close frame (RFC 6455 section 7.1.5)."""

class Tunnel:
    """Both ends of one tunnel."""

    def __init__(self, client, upstream):
        self.client = client
        self.upstream = upstream

    @classmethod
    async def open(cls, context, language, mode, query="", **options):
        """Connects the client of this language to the group's upstream, through the proxy."""
        tunnel = await cls.ask(context, language, mode, query, **options)
        tunnel.at_client = await tunnel.client.expect("open")
        tunnel.at_upstream = await tunnel.upstream.expect("open")
        return tunnel

    @classmethod
    async def ask(cls, context, language, mode, query="", prepare=None, **options):
        """Sends the upgrade request alone; `prepare` is called before, with the path."""
        conn = f"c{context.world.number()}"
        peer = await context.world.peer("client", language)
        tunnel = cls(End(peer, conn), End(context.upstream, conn))
        tunnel.path = f"/{mode}/{conn}{query}"
        tunnel.prepared = prepare(tunnel.path) if prepare else None
        context.on_failure.append(lambda: tunnel.client.do("reset"))
        tunnel.client.do("connect", port=context.proxy.port, path=tunnel.path, **options)
        return tunnel

    async def close(self):
        """Closes from the client's side and sees that nothing came that no case asked for."""
        self.client.do("close", code=1000, reason="done")
        await self.client.expect_close(1000)
        await self.upstream.expect_close(1000, "done")
        self.finish()

    def finish(self):
        for end in (self.client, self.upstream):
            left = end.peer.leftovers(end.conn)
            check(not left, f"{end.peer.name} saw more than was sent: {shorten(left)}")


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


async def text(context, client):
    tunnel = await Tunnel.open(context, client, "echo", query="?a=%20b&c=%2F")
    equal(tunnel.at_upstream["path"], tunnel.path, "path and query at the upstream")
    for message in ("", "hello", "grüße, 世界, 🦀", "x" * 125, "y" * 126, "z" * 70_000):
        tunnel.client.do("text", data=message)
        await tunnel.client.expect("sending")
        await tunnel.upstream.expect("message", kind="text", sha256=sha256(message))
        await tunnel.client.expect("message", kind="text", sha256=sha256(message))
    tunnel.upstream.do("text", data="unasked")
    await tunnel.upstream.expect("sending")
    await tunnel.client.expect("message", kind="text", data="unasked")
    await tunnel.close()


async def echoes(tunnel, size):
    """Sends random bytes and sees them arrive at the upstream and come back."""
    tunnel.client.do("binary", size=size)
    sent = await tunnel.client.expect("sending")
    await tunnel.upstream.expect("message", kind="binary", size=size, sha256=sent["sha256"])
    await tunnel.client.expect("message", kind="binary", size=size, sha256=sent["sha256"])


async def binary(context, client):
    tunnel = await Tunnel.open(context, client, "echo")
    for size in (0, 1, 125, 126, 16_383, 16_384, 65_535, 65_536, 1 << 20):
        await echoes(tunnel, size)
    await tunnel.close()


async def big(context, client):
    tunnel = await Tunnel.open(context, client, "echo")
    await echoes(tunnel, BIG)
    await tunnel.close()


async def big_both_ways(context, client):
    tunnel = await Tunnel.open(context, client, "plain")
    tunnel.client.do("binary", size=BIG)
    tunnel.upstream.do("binary", size=BIG)
    up = await tunnel.client.expect("sending")
    down = await tunnel.upstream.expect("sending")
    await tunnel.upstream.expect("message", size=BIG, sha256=up["sha256"])
    await tunnel.client.expect("message", size=BIG, sha256=down["sha256"])
    await tunnel.close()


async def many(context, client):
    """Tunnels side by side: what each sends comes back to it and to no other."""
    tunnels = await asyncio.gather(*(Tunnel.open(context, client, "echo") for _ in range(32)))

    async def use(tunnel, size):
        for round_number in range(8):
            await echoes(tunnel, size + round_number)
        await tunnel.close()

    await asyncio.gather(*(use(tunnel, 1000 * at) for at, tunnel in enumerate(tunnels)))


async def ping(context, client):
    tunnel = await Tunnel.open(context, client, "plain")
    for one, other in ((tunnel.client, tunnel.upstream), (tunnel.upstream, tunnel.client)):
        for data in ("are you there?", "p" * 125):
            one.do("ping", data=data)
            await other.expect("ping", data=data)
            await one.expect("pong", data=data)
    await tunnel.close()


async def fragments(context, client):
    parts = ["one ", "", "two ", "x" * 70_000, " three"]
    whole = "".join(parts)
    tunnel = await Tunnel.open(context, client, "plain")
    for one, other in ((tunnel.client, tunnel.upstream), (tunnel.upstream, tunnel.client)):
        for kind in ("text", "binary"):
            one.do("fragments", kind=kind, parts=parts, ping="between")
            await other.expect("ping", data="between")
            await other.expect("message", kind=kind, size=len(whole), sha256=sha256(whole))
            await one.expect("pong", data="between")
    await tunnel.close()


async def deflate(context, client):
    tunnel = await Tunnel.open(context, client, "echo", compress=True)
    there, here = tunnel.at_upstream, tunnel.at_client
    check("permessage-deflate" in (here["offered"] or ""), "the client offered no compression")
    equal(there["offered"], here["offered"], "extensions offered, at the upstream")
    check("permessage-deflate" in (there["accepted"] or ""), "the upstream accepted no compression")
    equal(here["accepted"], there["accepted"], "extensions accepted, at the client")
    for _ in range(2):  # the second is compressed against the first
        tunnel.client.do("text", data="all work and no play ", repeat=50_000)
        sent = await tunnel.client.expect("sending")
        await tunnel.upstream.expect("message", kind="text", sha256=sent["sha256"])
        await tunnel.client.expect("message", kind="text", sha256=sent["sha256"])
    await tunnel.close()


async def no_deflate(context, client):
    tunnel = await Tunnel.open(context, client, "echo")
    for at in (tunnel.at_client, tunnel.at_upstream):
        equal((at["offered"], at["accepted"]), (None, None), "extensions nobody asked for")
    await tunnel.close()


async def subprotocol(context, client):
    for offered, chosen in ((["chat.v2", "chat.v1"], "chat.v1"), (["chat.v1"], "chat.v1"), ([], None)):
        tunnel = await Tunnel.open(context, client, "echo", subprotocols=offered)
        seen = tunnel.at_upstream["headers"].get("sec-websocket-protocol", "")
        equal([name.strip() for name in seen.split(",") if name], offered, "subprotocols offered, at the upstream")
        equal(tunnel.at_upstream["subprotocol"], chosen, "subprotocol at the upstream")
        equal(tunnel.at_client["subprotocol"], chosen, "subprotocol at the client")
        await tunnel.close()


async def close_by_client(context, client, code):
    tunnel = await Tunnel.open(context, client, "plain")
    tunnel.client.do("close", code=code, reason=f"bye, {code} grüße")
    await tunnel.upstream.expect_close(code, f"bye, {code} grüße")
    await tunnel.client.expect_close(code)
    tunnel.finish()


async def close_by_upstream(context, client, code):
    tunnel = await Tunnel.open(context, client, "plain")
    tunnel.upstream.do("close", code=code, reason=f"bye, {code} grüße")
    await tunnel.client.expect_close(code, f"bye, {code} grüße")
    await tunnel.upstream.expect_close(code)
    tunnel.finish()


async def reset_by_client(context, client):
    tunnel = await Tunnel.open(context, client, "echo")
    await echoes(tunnel, 1000)
    tunnel.client.do("reset")
    await tunnel.upstream.expect_close(ABNORMAL)
    await tunnel.client.expect_close(ABNORMAL)
    tunnel.finish()


async def reset_by_upstream(context, client):
    tunnel = await Tunnel.open(context, client, "echo")
    await echoes(tunnel, 1000)
    tunnel.upstream.do("reset")
    await tunnel.client.expect_close(ABNORMAL)
    await tunnel.upstream.expect_close(ABNORMAL)
    tunnel.finish()


async def refused(context, client):
    tunnel = await Tunnel.ask(context, client, "refuse")
    answer = await tunnel.client.expect("refused", status=401)
    language = context.upstream.name.split("-")[0]
    equal(answer["body"], f"no entry: {language.capitalize()} says so\n", "body")
    equal(answer["headers"].get("www-authenticate"), 'Basic realm="interop"', "WWW-Authenticate")
    equal(answer["headers"].get("x-reason"), language, "X-Reason")
    tunnel.finish()


CASES = {
    "text": text,
    "binary": binary,
    "16 MiB": big,
    "16 MiB both ways": big_both_ways,
    "32 tunnels": many,
    "ping": ping,
    "fragments": fragments,
    "deflate": deflate,
    "no deflate": no_deflate,
    "subprotocol": subprotocol,
    **{f"close {code} by client": functools.partial(close_by_client, code=code) for code in CODES},
    **{f"close {code} by upstream": functools.partial(close_by_upstream, code=code) for code in CODES},
    "reset by client": reset_by_client,
    "reset by upstream": reset_by_upstream,
    "refused": refused,
}


def groups(policy):
    for upstream in LANGUAGES:
        cases = tuple(
            Case(f"{policy}/{client}/{upstream}/{name}", functools.partial(run, client=client), seconds=60)
            for client in LANGUAGES
            for name, run in CASES.items()
        )
        yield Group(f"{policy}/{upstream}", policy, upstream, cases)
