"""WebSocket upstream: `websockets` on Python, driven as lib/peers.py tells."""

import asyncio
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from websockets.asyncio.server import ServerConnection, serve  # noqa: E402

from lib.python_session import LIMITS, Session, TellsPings, conn_of, headers_of, mode_of, obey, say  # noqa: E402

CHOSEN_SUBPROTOCOL = "chat.v1"
sessions = {}


class Connection(TellsPings, ServerConnection):
    """A connection that tells of pings."""


def choose_subprotocol(_connection, offered):
    return CHOSEN_SUBPROTOCOL if CHOSEN_SUBPROTOCOL in offered else None


def refuse(connection, request):
    """Answers 401 where the path asks for it, and else lets the handshake go on."""
    if mode_of(request.path) != "refuse":
        return None
    response = connection.respond(401, "no entry: Python says so\n")
    response.headers["WWW-Authenticate"] = 'Basic realm="interop"'
    response.headers["X-Reason"] = "python"
    return response


async def handle(ws):
    path = ws.request.path
    conn = conn_of(path)
    sessions[conn] = Session(conn, ws, echo=mode_of(path) == "echo")
    say(
        "open",
        conn=conn,
        path=path,
        subprotocol=ws.subprotocol,
        offered=ws.request.headers.get("Sec-WebSocket-Extensions"),
        accepted=ws.response.headers.get("Sec-WebSocket-Extensions"),
        headers=headers_of(ws.request),
    )
    await sessions[conn].run()


async def main():
    settings = {
        "select_subprotocol": choose_subprotocol,
        "process_request": refuse,
        "create_connection": Connection,
        "compression": "deflate",
        **LIMITS,
    }
    async with serve(handle, "127.0.0.1", 0, **settings) as server:
        say("ready", port=server.sockets[0].getsockname()[1])
        await obey(sessions)


asyncio.run(main())
