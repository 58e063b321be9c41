"""Peers: WebSocket clients and upstreams written with other people's libraries, driven line by line.

A peer reads commands from stdin and tells events on stdout, one JSON object a line. Each names the connection it is
about, by a token that the driver chose and that the client puts into the path; so one script in the driver holds both
ends of a tunnel, and says what each does and must see, whatever languages they are written in.

    command                                       event
    connect  conn port path subprotocols compress ready    [port]
    text     conn data repeat                     open     conn subprotocol offered accepted [path headers]
    binary   conn size                            refused  conn status headers body
    fragments conn kind parts ping                sending  conn size sha256
    ping     conn data                            message  conn kind size sha256 data
    close    conn code reason                     ping, pong  conn data
    reset    conn                                 closed   conn code reason
                                                  failed   conn error

`offered` and `accepted` are the Sec-WebSocket-Extensions fields of the request and the response as that end has them.
"""

import asyncio
import collections
import json

from lib.processes import Bell, EndedEarly

TERMINAL = {"closed", "failed", "refused"}
"""Events after which no other comes for their connection."""


class Unexpected(Exception):
    """A peer told something else than the case expected."""


class Peer:
    """One peer process; `expect` waits for its events, `command` gives it work."""

    def __init__(self, name, process):
        self.name = name
        self.process = process
        self.events = collections.defaultdict(list)
        self.news = Bell()
        self.gone = None
        self.port = None
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, processes, name, argv, env=None):
        """Starts a peer and waits until it is ready."""
        peer = cls(name, await processes.start(f"peer-{name}", argv, env=env))
        ready = await peer.expect(None, "ready")
        peer.port = ready.get("port")
        return peer

    async def _read(self):
        at = 0
        while self.gone is None:
            try:
                line = await self.process.line(lambda line: line, at)
                at += 1
                if line.startswith("{"):  # anything else is a warning of the runtime's, kept in the log
                    event = json.loads(line)
                    self.events[event.get("conn")].append(event)
            except (EndedEarly, json.JSONDecodeError) as error:
                self.gone = error
            self.news.ring()

    def command(self, conn, name, /, **fields):
        self.process.write(json.dumps({"do": name, "conn": conn, **fields}) + "\n")

    async def expect(self, conn, name, /, **fields):
        """The next event of this name, its fields being as given; fails at once if it cannot come any more."""
        while True:
            told = self.events[conn]
            for event in told:
                if event["event"] == name:
                    told.remove(event)
                    return self._check(event, fields)
            if self.gone is not None:
                raise Unexpected(f"{self.name} is gone: {self.gone}")
            if over := [event for event in told if event["event"] in TERMINAL]:
                raise Unexpected(f"{self.name}: waiting for {name!r}, got {shorten(over[0])}")
            await self.news.heard()

    def _check(self, event, fields):
        wrong = {name: event.get(name) for name, value in fields.items() if event.get(name) != value}
        if wrong:
            wanted = {name: fields[name] for name in wrong}
            raise Unexpected(f"{self.name}: {event['event']} with {shorten(wrong)}, not {shorten(wanted)}")
        return event

    def leftovers(self, conn):
        """Events of a connection that nobody expected."""
        return self.events.pop(conn, [])


def shorten(value, most=300):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}..."


class End:
    """One end of a tunnel: a peer together with the token of the connection."""

    def __init__(self, peer, conn):
        self.peer = peer
        self.conn = conn

    def do(self, name, /, **fields):
        self.peer.command(self.conn, name, **fields)

    async def expect(self, name, /, **fields):
        return await self.peer.expect(self.conn, name, **fields)

    async def expect_close(self, code, reason=None):
        fields = {"code": code} if reason is None else {"code": code, "reason": reason}
        return await self.expect("closed", **fields)
