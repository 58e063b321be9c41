"""Socket.IO, versions 4 and 2, over two server processes behind one route.

A client of Socket.IO begins with requests that must all reach the server that knows its session ("polling"), and goes
on by a WebSocket to the same one. So it needs a sticky route, and the cases show that it gets one, and that without it
the clients do fail.
"""

import asyncio
import contextlib
import functools

from lib.peers import End, Unexpected
from lib.routed import routed
from lib.suite import Case, Group, check, equal

VERSIONS = ("4", "2")
CLIENTS = 40
POLLING = ("polling", "websocket")
"""What clients do by default: begin with polling, then upgrade."""

STICKY = 'sticky_cookie = "headpin_server"'
BY_ADDRESS = 'balance = "hash"\nhash_on = "client_address"'
ROUND_ROBIN = 'balance = "round_robin"'


@contextlib.asynccontextmanager
async def setup(context, version, balance):
    """Two servers behind a route, and a process for the clients: the context with the proxy, and that process."""
    world = context.world
    peers = []

    async def start(role, name, *arguments, **env):
        script = world.here / f"{role}s" / "socketio.js"
        peers.append(await world.start_script(script, f"socketio-{name}-{world.number()}", arguments, **env))
        return peers[-1]

    try:
        one = await start("upstream", "one", version, INTEROP_NAME="one")
        two = await start("upstream", "two", version, INTEROP_NAME="two")
        clients = await start("client", "client", world.pki.ca, version)
        text = f"""
[[routes]]
path = "/socket.io/"
upstream = "chat"
[[routes]]
respond = {{ status = 404, body = "" }}
[upstreams.chat]
servers = ["http://127.0.0.1:{one.port}", "http://127.0.0.1:{two.port}"]
{balance}
"""
        async with routed(context, text) as context:
            yield context, clients
            clients.process.kill()  # and with it connections that it keeps, and polls that nobody answers
    finally:
        for peer in peers:
            peer.process.kill()


async def outcomes(context, clients, *, cookies, transports=POLLING, together=True):
    """Lets the clients connect, together or one after the other; what each told at its end."""

    async def one():
        end = End(clients, f"c{context.world.number()}")
        end.do("connect", port=context.proxy.port, transports=transports, cookies=cookies)
        try:
            return await end.expect("done")
        except Unexpected as failure:
            return str(failure)

    if together:
        return await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return [await one() for _ in range(CLIENTS)]


def all_well(told, transport="websocket"):
    """All clients ended by a WebSocket, each with one server; the servers that had any."""
    failures = [each for each in told if isinstance(each, str)]
    check(not failures, f"{len(failures)} of {len(told)} clients failed, such as: {failures[:2]}")
    for each in told:
        equal(each["transport"], transport, "transport at the end")
        equal(len(each["servers"]), 1, f"servers that one client talked to: {each['servers']}")
    return {each["servers"][0] for each in told}


async def sticky(context, version):
    async with setup(context, version, STICKY) as (context, clients):
        for together in (True, False):
            told = await outcomes(context, clients, cookies=True, together=together)
            equal(all_well(told), {"one", "two"}, "servers that had clients")


async def polling_alone(context, version):
    """Clients that cannot upgrade stay with their server too."""
    async with setup(context, version, STICKY) as (context, clients):
        told = await outcomes(context, clients, cookies=True, transports=["polling"])
        equal(all_well(told, "polling"), {"one", "two"}, "servers that had clients")


async def by_address(context, version):
    """A client without cookies, by its address; all of them have the same here."""
    async with setup(context, version, BY_ADDRESS) as (context, clients):
        told = await outcomes(context, clients, cookies=False)
        equal(len(all_well(told)), 1, "servers for one address")


async def not_sticky(context, version, balance, cookies):
    """The same clients fail where requests of one go to either server; those that begin with a WebSocket do not."""
    async with setup(context, version, balance) as (context, clients):
        told = await outcomes(context, clients, cookies=cookies)
        failures = [each for each in told if isinstance(each, str)]
        check(len(failures) > CLIENTS / 2, f"only {len(failures)} of {CLIENTS} clients failed")
        told = await outcomes(context, clients, cookies=cookies, transports=["websocket"])
        equal(all_well(told), {"one", "two"}, "servers that had clients by WebSocket alone")


CASES = {
    "sticky": sticky,
    "polling alone": polling_alone,
    "by address": by_address,
    "not sticky": functools.partial(not_sticky, balance=ROUND_ROBIN, cookies=True),
    "sticky, but without cookies": functools.partial(not_sticky, balance=STICKY, cookies=False),
}


def groups():
    for version in VERSIONS:
        cases = (
            Case(f"socket.io {version}/{name}", functools.partial(run, version=version), seconds=60)
            for name, run in CASES.items()
        )
        yield Group(f"socket.io {version}", None, None, tuple(cases))
