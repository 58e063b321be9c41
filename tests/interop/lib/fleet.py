"""Several WebSocket upstreams side by side, and tunnels that tell which of them they lead to."""

import asyncio
import contextlib
import json

from cases.websocket import Tunnel
from lib.peers import End


class Fleet:
    """WebSocket upstreams by name; `languages` says what each is written in."""

    def __init__(self, world, languages):
        self.world = world
        self.languages = languages
        self.peers = {}

    def url(self, name):
        return f"http://127.0.0.1:{self.peers[name].port}"

    def urls(self, *names):
        """Servers as a TOML array, all of them if none is named."""
        return json.dumps([self.url(name) for name in names or self.peers])

    async def open(self, context, client="node", prefix="", mode="echo"):
        """A tunnel to whichever server the proxy chooses; its name is the tunnel's `server`."""
        conn = f"c{self.world.number()}"
        end = End(await self.world.peer("client", client), conn)
        context.on_failure.append(lambda: end.do("reset"))
        end.do("connect", port=context.proxy.port, path=f"{prefix}/{mode}/{conn}")
        at_client = await end.expect("open")
        server, at_upstream = await self.first_open(conn)
        tunnel = Tunnel(end, End(self.peers[server], conn))
        tunnel.server, tunnel.at_client, tunnel.at_upstream = server, at_client, at_upstream
        return tunnel

    async def first_open(self, conn):
        """Which of the servers says that this tunnel is open there, and what it says."""
        waiting = {asyncio.create_task(peer.expect(conn, "open")): name for name, peer in self.peers.items()}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            first = done.pop()
            return waiting[first], first.result()
        finally:
            for task in waiting:
                task.cancel()
            for name in self.peers:
                if not self.peers[name].events[conn]:
                    del self.peers[name].events[conn]


@contextlib.asynccontextmanager
async def fleet(context, languages, **env):
    """Runs such upstreams until the context is left; `env` is in the environment of each."""
    ships = Fleet(context.world, languages)
    try:
        for name, language in languages.items():
            number = context.world.number()
            peer = await context.world.start_peer("upstream", language, f"{name}-{number}", INTEROP_NAME=name, **env)
            ships.peers[name] = peer
        yield ships
    finally:
        for peer in ships.peers.values():
            peer.process.kill()
