"""TLS as `openssl s_client` speaks it, and what is no TLS at all."""

import asyncio
import functools
import hashlib
import json
import re
import socket
import ssl

from lib import pki, raw
from lib.suite import Case, Group, check, equal

VERSIONS = {"1.2": "-tls1_2", "1.3": "-tls1_3"}
CLOSE_NOTIFY = re.compile(r"<<< .*Alert .*\n?.*close_notify")
SOCKET_SECONDS = 10
"""Deadline of one step on a blocking socket."""


def request(path="/hello", *, connection="close"):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode()


def command(context, *options, name=pki.LOCALHOST):
    where = ("-connect", f"127.0.0.1:{context.proxy.port}", "-CAfile", context.world.pki.ca)
    names = ("-servername", name, "-verify_hostname", name) if name else ("-noservername",)
    return ["openssl", "s_client", *where, *names, "-verify_return_error", *options]


async def s_client(context, *options, stdin=None, name=pki.LOCALHOST):
    """Runs s_client until the proxy closes: exit code and all it wrote."""
    argv = command(context, "-ign_eof", *options, name=name)
    code, stdout, stderr = await context.world.processes.run(argv, stdin=request() if stdin is None else stdin)
    return code, stdout.decode(errors="replace") + stderr


async def version(context, version, option):
    _, said = await s_client(context, option)
    check("Verify return code: 0 (ok)" in said, "the certificate was not verified")
    check(re.search(rf"^New, TLSv{version}, Cipher is ", said, re.MULTILINE), f"no TLS {version}")
    check("HTTP/1.1 200" in said and "\nhello\n" in said, "no answer to the request")


async def resumption(context, option):
    session = context.world.place / f"session-{context.world.number()}"
    _, said = await s_client(context, option, "-sess_out", session)
    check(re.search(r"^New, ", said, re.MULTILINE), "the first handshake was not a full one")
    for _ in range(2):
        _, said = await s_client(context, option, "-sess_in", session)
        check(re.search(r"^Reused, ", said, re.MULTILINE), "not resumed")
        check("\nhello\n" in said, "no answer to the request on the resumed connection")


async def alpn(context):
    _, said = await s_client(context, "-alpn", "http/1.1")
    check("ALPN protocol: http/1.1" in said, "http/1.1 was not chosen")
    _, said = await s_client(context)
    check("No ALPN negotiated" in said and "\nhello\n" in said, "a client without ALPN gets no answer")


async def alpn_foreign(context):
    """RFC 7301 section 3.2: no protocol in common is fatal."""
    code, said = await s_client(context, "-alpn", "nonsense")
    check(code != 0 and "no application protocol" in said, "no alert no_application_protocol")


async def sni(context):
    for leaf in context.world.pki.leaves:
        _, said = await s_client(context, name=leaf.name)
        check(re.search(rf"^subject=CN ?= ?{re.escape(leaf.name)}$", said, re.MULTILINE), f"not {leaf.name}'s own")
        check("Verify return code: 0 (ok)" in said, f"{leaf.name}'s was not verified")
        check("\nhello\n" in said, f"no answer under the name {leaf.name}")


async def no_sni(context):
    _, said = await s_client(context, name=None)
    check("Verify return code: 0 (ok)" in said and "\nhello\n" in said, "a client without SNI gets no answer")


async def hello_retry(context):
    """The client's first key share is of a group that the proxy may not have."""
    _, said = await s_client(context, "-tls1_3", "-groups", "P-521:X25519")
    check("\nhello\n" in said, "no answer to the request")


async def small_records(context, option):
    """Every record carries at most 512 bytes of a body of 200 kB."""
    body = hashlib.sha256(option.encode()).hexdigest().encode() * 3125
    head = f"PUT /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    _, said = await s_client(context, option, "-max_send_frag", "512", stdin=head.encode() + body)
    answer = re.search(r'^\{"size".*\}', said, re.MULTILINE)
    check(answer, "no answer to the upload")
    seen = json.loads(answer.group())
    equal((seen["size"], seen["sha256"]), (len(body), hashlib.sha256(body).hexdigest()), "body at the upstream")


async def key_update_in_requests(context):
    name = f"s_client-{context.world.number()}"
    client = await context.world.processes.start(name, command(context, "-tls1_3", "-msg"))
    for letter in "KkK":
        client.lines.clear()
        client.write(request(connection="keep-alive"))
        await next_line(client, "hello")
        client.write(f"{letter}\n")
        await next_line(client, "KEYUPDATE")
    client.lines.clear()
    client.write(request())
    await next_line(client, "hello")
    await client.wait()


async def key_update_in_a_tunnel(context):
    """`K` asks the proxy to update its key as well, `k` does not."""
    conn = f"k{context.world.number()}"
    client = await context.world.processes.start(f"s_client-{conn}", command(context, "-tls1_3", "-msg"))
    client.write(raw.upgrade_request(f"/echo/{conn}"))
    await client.line(lambda line: True if line.startswith("HTTP/1.1 101") else None)
    await context.upstream.expect(conn, "open")
    for number, letter in enumerate("KkKkkK"):
        client.lines.clear()
        client.write(f"{letter}\n")
        await next_line(client, "KEYUPDATE")
        client.write(raw.frame(raw.TEXT, f"\nfrom key {number}\n", masked=True))
        await context.upstream.expect(conn, "message", data=f"\nfrom key {number}\n")
        if letter == "K":
            await client.line(lambda line: True if line.startswith("<<<") and "KeyUpdate" in line else None)
        await next_line(client, f"from key {number}")
    client.write(raw.frame(raw.CLOSE, (1000).to_bytes(2, "big"), masked=True))
    await context.upstream.expect(conn, "closed", code=1000)
    await client.wait()


async def next_line(process, text):
    await process.line(lambda line: True if text in line else None)


async def close_notify_sent(context, option):
    _, said = await s_client(context, option, "-msg")
    check(CLOSE_NOTIFY.search(said), "the proxy ended without close_notify")


async def close_notify_answered(context, before, newest=ssl.TLSVersion.TLSv1_3):
    """The client says close_notify: the proxy says so too, and ends the connection."""

    def talk():
        trust = ssl.create_default_context(cafile=str(context.world.pki.ca))
        trust.maximum_version = newest
        with socket.create_connection(("127.0.0.1", context.proxy.port), timeout=SOCKET_SECONDS) as tcp:
            tls = trust.wrap_socket(tcp, server_hostname="localhost", suppress_ragged_eofs=False)
            if before:
                tls.sendall(before)
                seen = b""
                while not seen.endswith(b"hello\n"):
                    data = tls.recv(4096)
                    check(data, "the proxy ended early")
                    seen += data
            rest = tls.unwrap()  # raises if the connection ends without the peer's close_notify
            equal(rest.recv(1), b"", "what follows close_notify")

    await asyncio.to_thread(talk)


async def old_version(context, option):
    """RFC 5246 appendix E.1 wants protocol_version; rustls says handshake_failure, for what such a hello lacks besides."""
    code, said = await s_client(context, option, "-cipher", "ALL:@SECLEVEL=0")
    check(code != 0 and re.search("alert (protocol version|handshake failure)", said), "no alert that refuses it")


# === what is no TLS ===


def exchange(port, data, *, end=False):
    """All that comes back for `data` until the proxy ends the connection."""
    seen = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SOCKET_SECONDS) as tcp:
        tcp.sendall(data)
        if end:
            tcp.shutdown(socket.SHUT_WR)
        try:
            while block := tcp.recv(4096):
                seen += block
        except ConnectionResetError:
            pass
        except TimeoutError:
            check(False, f"still open after {SOCKET_SECONDS} s for {data[:20]!r}")
    return seen


def refused(answer):
    """Whether it is a TLS alert record, or HTTP saying that this is no HTTP port."""
    return answer[:2] == b"\x15\x03" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))


async def alive(context):
    _, said = await s_client(context)
    check("\nhello\n" in said, "the proxy does not answer any more")


async def plain_http(context):
    answer = await asyncio.to_thread(exchange, context.proxy.port, request())
    check(refused(answer), f"neither an alert nor a 400: {answer[:60]!r}")
    await alive(context)


GARBAGE = {
    "zeros": bytes(300),
    "ones": b"\xff" * 300,
    "text": b"SSH-2.0-interop\r\n",
    "a record too long": b"\x16\x03\x01\xff\xff" + bytes(300),
    "a handshake of nothing": b"\x16\x03\x01\x00\x04\x63\x00\x00\x00",
    "data before a handshake": b"\x17\x03\x03\x00\x05hello",
}


async def garbage(context, data):
    answer = await asyncio.to_thread(exchange, context.proxy.port, data)
    check(refused(answer), f"neither an alert nor a 400: {answer[:60]!r}")
    await alive(context)


async def cut_hello(context):
    """The client goes away within its first record."""
    hello = client_hello()
    for length in (0, 1, 5, 6, len(hello) - 1):
        await asyncio.to_thread(exchange, context.proxy.port, hello[:length], end=True)
    await alive(context)


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without a server")


async def alert_from_client(context):
    """The client does not trust the authority, and says so."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{context.proxy.port}", "-verify_return_error"]
    code, stdout, stderr = await context.world.processes.run(argv, stdin=b"")
    check(code != 0, "a client that trusts nobody was content")
    await alive(context)


CASES = {
    **{f"TLS {name}": functools.partial(version, version=name, option=option) for name, option in VERSIONS.items()},
    **{f"resumption {name}": functools.partial(resumption, option=option) for name, option in VERSIONS.items()},
    "ALPN": alpn,
    "ALPN foreign": alpn_foreign,
    "SNI": sni,
    "no SNI": no_sni,
    "hello retry": hello_retry,
    **{f"small records {name}": functools.partial(small_records, option=option) for name, option in VERSIONS.items()},
    "key update between requests": key_update_in_requests,
    "key update in a tunnel": key_update_in_a_tunnel,
    **{f"close_notify sent {name}": functools.partial(close_notify_sent, option=o) for name, o in VERSIONS.items()},
    # By TLS 1.2: tickets of 1.3 that nobody has read yet would be in the way of the answer.
    "close_notify answered, idle": functools.partial(
        close_notify_answered, before=b"", newest=ssl.TLSVersion.TLSv1_2
    ),
    "close_notify answered, after a request": functools.partial(
        close_notify_answered, before=request(connection="keep-alive")
    ),
    "TLS 1.1 refused": functools.partial(old_version, option="-tls1_1"),
    "TLS 1.0 refused": functools.partial(old_version, option="-tls1"),
    "plain HTTP": plain_http,
    **{f"garbage: {name}": functools.partial(garbage, data=data) for name, data in GARBAGE.items()},
    "cut ClientHello": cut_hello,
    "alert from the client": alert_from_client,
}


def groups(policy):
    cases = tuple(Case(f"{policy}/openssl/{name}", run) for name, run in CASES.items())
    yield Group(f"{policy}/openssl", policy, "node", cases)
