"""Raw ends of a tunnel, for what no library can be made to do: frames in the same write as a handshake, bad handshakes.

Everything here is bytes on sockets; the frame format is RFC 6455 section 5.2.
"""

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
import ssl
import types

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def accept_of(key):
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def frame(opcode, payload, *, masked, fin=True):
    """One frame; clients mask theirs."""
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        length = bytes([mask_bit | size])
    elif size < 1 << 16:
        length = bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    first = bytes([(0x80 if fin else 0) | opcode])
    if not masked:
        return first + length + payload
    mask = os.urandom(4)
    return first + length + mask + _xor(payload, mask)


def _xor(payload, mask):
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


async def read_frame(reader):
    """The next frame: opcode and payload, unmasked."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4) if second & 0x80 else None
    payload = await reader.readexactly(size)
    return first & 0x0F, payload if mask is None else _xor(payload, mask)


def new_key():
    return base64.b64encode(os.urandom(16)).decode()


def upgrade_request(path, *, key=None, version="13", line="HTTP/1.1", method="GET", extra=(), body=b""):
    """The bytes of an upgrade request; a `key` of "" leaves the field out."""
    fields = ["Host: localhost", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Version: {version}"]
    if key != "":
        fields.append(f"Sec-WebSocket-Key: {key or new_key()}")
    return "\r\n".join([f"{method} {path} {line}", *fields, *extra, "", ""]).encode() + body


def upgrade_response(request, *, extra=()):
    """The bytes of the 101 that answers `request`."""
    accept = accept_of(request.fields["sec-websocket-key"])
    fields = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {accept}"]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *fields, *extra, "", ""]).encode()


class Head:
    """The start line and the fields of a request or a response."""

    def __init__(self, data):
        self.start, *lines = data.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = [line.split(":", 1) for line in lines]
        self.fields = {name.strip().lower(): value.strip() for name, value in pairs}

    @property
    def status(self):
        if not self.start.startswith("HTTP/1."):
            raise ValueError(f"no HTTP response: {self.start[:60]!r}")
        return int(self.start.split()[1])

    @property
    def path(self):
        return self.start.split()[1]


async def read_head(reader):
    return Head(await reader.readuntil(b"\r\n\r\n"))


async def read_body(reader, head):
    """The body that Content-Length or the end of the connection bounds."""
    length = head.fields.get("content-length")
    return await (reader.read() if length is None else reader.readexactly(int(length)))


@contextlib.asynccontextmanager
async def tls(world, port, *, server_name="localhost"):
    """A TLS connection to the proxy as reader and writer; leaving the context aborts it."""
    trust = ssl.create_default_context(cafile=str(world.pki.ca))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trust, server_hostname=server_name, limit=1 << 20
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def tcp(port):
    """A TCP connection to the proxy as reader and writer; leaving the context aborts it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class Upstream:
    """An upstream that does with each request what the case said, by the request's path.

    A handler gets the request's head, a reader and a writer; the connection is closed when it returns. What a handler
    raises fails the case that awaits its `answer`.
    """

    def __init__(self):
        self.handlers = {}
        self.serving = set()
        self.server = None
        self.port = None

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.serving):
            task.cancel()

    def on(self, path, handler):
        """Sets the handler of one request; the future ends as the handler does."""
        done = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda future: future.cancelled() or future.exception())  # seen, even if not awaited
        self.handlers[path] = handler, done
        return done

    def _connected(self, reader, writer):
        task = asyncio.create_task(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader, writer):
        done = None
        try:
            request = await read_head(reader)
            handler, done = self.handlers.pop(request.path)
            result = await handler(request, reader, writer)
            if not done.done():
                done.set_result(result)
        except Exception as error:  # noqa: BLE001 the case is told
            if done is not None and not done.done():
                done.set_exception(error)
        finally:
            writer.close()


@contextlib.contextmanager
def closed_port():
    """A port that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield types.SimpleNamespace(port=bound.getsockname()[1])
