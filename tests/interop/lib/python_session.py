"""One WebSocket connection of `websockets`, driven by commands and told about by events.

The Python half of the protocol that lib/peers.py describes. Client and upstream differ only in how a connection comes
to be; what happens on it is here.
"""

import asyncio
import hashlib
import json
import os
import socket
import struct
import sys

from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

SHOWN_BYTES = 4096
"""Payloads up to this many bytes are told in full, longer ones by size and hash alone."""

LIMITS = {"max_size": 64 * 1024 * 1024, "ping_interval": None, "open_timeout": 30}
"""Settings of both ends: room for the big messages, and no ping that no case asked for."""


def say(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def digest(data):
    return hashlib.sha256(data).hexdigest()


class TellsPings:
    """Mixin for a connection class: tells of pings, which `websockets` answers without a word."""

    def process_event(self, event):
        super().process_event(event)
        if getattr(event, "opcode", None) is Opcode.PING:
            say("ping", conn=conn_of(self.request.path), data=bytes(event.data).decode())


def mode_of(path):
    """The path says what to do: `/echo/<conn>`, `/plain/<conn>` or `/refuse/<conn>`."""
    return path.split("?")[0].split("/")[1]


def conn_of(path):
    """Which connection of the driver's this is."""
    return path.split("?")[0].split("/")[2]


def headers_of(message):
    return {name.lower(): value for name, value in message.headers.raw_items()}


class Session:
    """A connection that is open, until its `run` returns."""

    def __init__(self, conn, ws, echo=False):
        self.conn = conn
        self.ws = ws
        self.echo = echo
        self.commands = asyncio.Queue()
        self.waiting_for_pong = set()

    async def run(self):
        obeying = asyncio.create_task(self.obey())
        try:
            async for message in self.ws:
                self.tell(message)
                if self.echo:
                    await self.ws.send(message)
        except ConnectionClosed:
            pass
        finally:
            obeying.cancel()
        await self.ws.wait_closed()
        say("closed", conn=self.conn, code=self.ws.close_code, reason=self.ws.close_reason)

    def tell(self, message):
        kind = "text" if isinstance(message, str) else "binary"
        data = message.encode() if kind == "text" else message
        shown = message if kind == "text" and len(data) <= SHOWN_BYTES else None
        say("message", conn=self.conn, kind=kind, size=len(data), sha256=digest(data), data=shown)

    async def obey(self):
        """Carries out one command after the other; receiving goes on meanwhile, whatever a send waits for."""
        while True:
            name, fields = await self.commands.get()
            try:
                await getattr(self, name)(**fields)
            except ConnectionClosed:
                return
            except Exception as error:  # noqa: BLE001 the driver wants to know, whatever it was
                say("failed", conn=self.conn, error=repr(error))

    async def text(self, data, repeat=1):
        text = data * repeat
        say("sending", conn=self.conn, size=len(text.encode()), sha256=digest(text.encode()))
        await self.ws.send(text)

    async def binary(self, size):
        data = os.urandom(size)
        say("sending", conn=self.conn, size=size, sha256=digest(data))
        await self.ws.send(data)

    async def fragments(self, kind, parts, ping=None):
        """Sends one message in several frames, with a ping after the first if `ping` is given."""

        async def frames():
            for at, part in enumerate(parts):
                if at == 1 and ping is not None:
                    await self.ping(ping)
                yield part.encode() if kind == "binary" else part

        await self.ws.send(frames())

    async def ping(self, data):
        pong = await self.ws.ping(data)

        async def answered():
            await pong
            say("pong", conn=self.conn, data=data)

        task = asyncio.create_task(answered())
        self.waiting_for_pong.add(task)
        task.add_done_callback(self.waiting_for_pong.discard)

    async def close(self, code=1000, reason=""):
        await self.ws.close(code, reason)

    async def reset(self):
        """Ends the connection by a TCP reset, without a close frame or a TLS alert."""
        linger_not_at_all = struct.pack("ii", 1, 0)
        self.ws.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not_at_all)
        self.ws.transport.abort()


async def commands():
    """The commands of stdin, until it ends."""
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        yield command.pop("do"), command


async def obey(sessions, connect=None):
    """Hands commands to their sessions; returns when stdin ends, so that no peer outlives the driver."""
    connecting = set()
    async for name, fields in commands():
        conn = fields.pop("conn")
        if name == "connect":
            task = asyncio.create_task(connect(conn, **fields))
            connecting.add(task)
            task.add_done_callback(connecting.discard)
        elif conn in sessions:
            sessions[conn].commands.put_nowait((name, fields))
