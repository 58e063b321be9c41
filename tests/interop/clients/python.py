"""WebSocket client: `websockets` on Python, connecting through the proxy as lib/peers.py tells it to."""

import asyncio
import pathlib
import ssl
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from websockets.asyncio.client import ClientConnection, connect as open_websocket  # noqa: E402
from websockets.exceptions import InvalidStatus  # noqa: E402

from lib.python_session import LIMITS, Session, TellsPings, headers_of, obey, say  # noqa: E402

sessions = {}
trust = ssl.create_default_context(cafile=sys.argv[1])
trust.set_alpn_protocols(["http/1.1"])


class Connection(TellsPings, ClientConnection):
    """A connection that tells of pings."""


async def connect(conn, port, path, subprotocols=(), compress=False):
    try:
        ws = await open_websocket(
            f"wss://localhost:{port}{path}",
            host="127.0.0.1",
            ssl=trust,
            proxy=None,
            subprotocols=list(subprotocols) or None,
            compression="deflate" if compress else None,
            create_connection=Connection,
            **LIMITS,
        )
    except InvalidStatus as refusal:
        response = refusal.response
        body = bytes(response.body or b"").decode()
        say("refused", conn=conn, status=response.status_code, headers=headers_of(response), body=body)
        return
    except Exception as error:  # noqa: BLE001 the driver wants to know, whatever it was
        say("failed", conn=conn, error=repr(error))
        return
    sessions[conn] = Session(conn, ws)
    say(
        "open",
        conn=conn,
        subprotocol=ws.subprotocol,
        offered=ws.request.headers.get("Sec-WebSocket-Extensions"),
        accepted=ws.response.headers.get("Sec-WebSocket-Extensions"),
    )
    await sessions[conn].run()


async def main():
    say("ready")
    await obey(sessions, connect)


asyncio.run(main())
