"""Plain HTTP/1.1 through the proxy, with curl as client and Node's `http` as upstream."""

import functools
import hashlib
import json
import os
import re

from lib.suite import Case, Group, check, equal

BIG = 100_000_000
SECONDS = 60
"""Most that one curl may take."""


class Answer:
    """What curl wrote: the body, and the heads and remarks of --verbose."""

    def __init__(self, body, verbose):
        self.body = body
        self.verbose = verbose
        self.received = re.findall(r"^< (.*?)\r?$", verbose, re.MULTILINE)

    def statuses(self):
        return [int(line.split()[1]) for line in self.received if line.startswith("HTTP/")]

    def field(self, name):
        """A field of the last head, or None."""
        start = f"{name.lower()}:"
        values = [line.split(":", 1)[1].strip() for line in self.received if line.lower().startswith(start)]
        return values[-1] if values else None

    def json(self):
        return json.loads(self.body)

    def connections(self):
        """How many connections curl opened."""
        return self.verbose.count("SSL connection using")


def command(context, *argv):
    """The command line; strings that start with a slash are paths on the proxy, files are given as `Path`."""
    port = context.proxy.port
    urls = [f"https://localhost:{port}{arg}" if isinstance(arg, str) and arg.startswith("/") else arg for arg in argv]
    base = ("curl", "--disable", "--silent", "--show-error", "--verbose", "--http1.1", "--noproxy", "*")
    where = ("--cacert", context.world.pki.ca, "--resolve", f"localhost:{port}:127.0.0.1", "--max-time", SECONDS)
    return [*base, *where, *urls]


async def curl(context, *argv, stdin=b""):
    code, stdout, stderr = await context.world.processes.run(command(context, *argv), stdin=stdin)
    check(code == 0, f"curl ended with {code}: {stderr.strip().splitlines()[-1:]}")
    return Answer(stdout, stderr)


@functools.cache
def big_file(path):
    """Makes the big file once a run; its hash."""
    hash_ = hashlib.sha256()
    with open(path, "wb") as file:
        left = BIG
        while left:
            block = os.urandom(min(left, 1 << 20))
            file.write(block)
            hash_.update(block)
            left -= len(block)
    return hash_.hexdigest()


async def download(context, query=""):
    wanted = big_file(context.world.big_file)
    path = context.world.place / "downloaded"
    answer = await curl(context, f"/file{query}", "--output", path)
    chunked = answer.field("Transfer-Encoding")
    length = answer.field("Content-Length")
    equal((length, chunked), (None, "chunked") if query else (str(BIG), None), "Content-Length, Transfer-Encoding")
    with open(path, "rb") as file:
        equal(hashlib.file_digest(file, "sha256").hexdigest(), wanted, "hash of what arrived")
    path.unlink()


async def upload(context, options=()):
    wanted = big_file(context.world.big_file)
    answer = (await curl(context, *options, "--upload-file", context.world.big_file, "/upload")).json()
    equal((answer["size"], answer["sha256"]), (BIG, wanted), "size and hash at the upstream")
    wanted_framing = (None, "chunked") if options else (str(BIG), None)
    equal((answer["length"], answer["encoding"]), wanted_framing, "framing at the upstream")


async def keep_alive(context):
    answer = await curl(context, "/hello", "/hello", "/hello")
    equal(answer.body, b"hello\n" * 3, "bodies")
    equal(answer.connections(), 1, "connections for three requests")


async def connection_close(context):
    answer = await curl(context, "--header", "Connection: close", "/hello", "/hello")
    equal(answer.body, b"hello\n" * 2, "bodies")
    equal((answer.field("Connection") or "").lower(), "close", "Connection of the answer")
    equal(answer.connections(), 2, "connections for two requests")


async def http_1_0(context):
    """The upstream answers in chunks, which this client does not know."""
    wanted = big_file(context.world.big_file)
    answer = await curl(context, "--http1.0", "--no-alpn", "/file?chunked")
    equal(answer.field("Transfer-Encoding"), None, "Transfer-Encoding")
    equal(hashlib.sha256(answer.body).hexdigest(), wanted, "hash of what arrived")


async def expect_continue(context):
    body = b"x" * 2000
    expect = ("--header", "Expect: 100-continue", "--expect100-timeout", SECONDS)
    answer = await curl(context, *expect, "--request", "PUT", "--data-binary", "@-", "/upload", stdin=body)
    equal(answer.statuses(), [100, 200], "statuses")
    equal(answer.json()["sha256"], hashlib.sha256(body).hexdigest(), "hash at the upstream")


async def head(context):
    answer = await curl(context, "--head", "/hello", "/hello")
    equal(answer.statuses(), [200, 200], "statuses")
    equal(answer.field("Content-Length"), "6", "Content-Length")
    equal(answer.connections(), 1, "connections for two requests")


async def not_modified(context):
    answer = await curl(context, "/cached")
    etag = answer.field("ETag")
    equal(etag, '"v1"', "ETag")
    answer = await curl(context, "--header", f"If-None-Match: {etag}", "/cached", "/cached")
    equal(answer.statuses(), [304, 304], "statuses")
    equal((answer.body, answer.field("ETag")), (b"", etag), "body and ETag")
    equal(answer.connections(), 1, "connections for two requests")


async def inspect(context, *options):
    """What the upstream saw of a request, its fields by lower-case name."""
    seen = (await curl(context, *options, "/inspect?q=%20&r=%2F")).json()
    raw = seen["rawHeaders"]
    fields = {}
    for name, value in zip(raw[::2], raw[1::2], strict=True):
        fields.setdefault(name.lower(), []).append(value)
    return seen, fields


async def request_hops(context):
    hop = ("Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: gzip")
    headers = [arg for field in (*hop, "X-End: kept") for arg in ("--header", field)]
    _, fields = await inspect(context, *headers)
    equal(fields.get("x-end"), ["kept"], "X-End")
    left = sorted({"x-hop", "keep-alive", "proxy-connection", "te"} & set(fields))
    check(not left, f"fields for the proxy alone went on to the upstream: {', '.join(left)}")
    check("x-hop" not in str(fields.get("connection")).lower(), "Connection still names X-Hop")


async def response_hops(context):
    answer = await curl(context, "/hops")
    equal(answer.field("X-End"), "for the client", "X-End")
    left = [name for name in ("X-Hop", "Proxy-Connection") if answer.field(name) is not None]
    check(answer.field("Keep-Alive") != "timeout=5, max=7", "the upstream's Keep-Alive reached the client")
    check(not left, f"fields for the proxy alone reached the client: {', '.join(left)}")
    check("x-hop" not in (answer.field("Connection") or "").lower(), "Connection still names X-Hop")


async def request_line(context):
    for method in ("GET", "DELETE", "OPTIONS", "PATCH"):
        seen, fields = await inspect(context, "--request", method)
        equal((seen["method"], seen["url"]), (method, "/inspect?q=%20&r=%2F"), "request at the upstream")
        equal(fields["host"], [f"localhost:{context.proxy.port}"], "Host at the upstream")


async def forwarded(context):
    _, fields = await inspect(context)
    host = f"localhost:{context.proxy.port}"
    equal(fields.get("x-forwarded-for", [""])[-1].split(",")[-1].strip(), "127.0.0.1", "X-Forwarded-For")
    equal(fields.get("x-forwarded-proto"), ["https"], "X-Forwarded-Proto")
    equal(fields.get("x-forwarded-host"), [host], "X-Forwarded-Host")
    forwarded = ",".join(fields.get("forwarded", [])).lower()
    check("for=127.0.0.1" in forwarded.replace('"', ""), f"Forwarded has no for=: {forwarded}")
    check("proto=https" in forwarded, f"Forwarded has no proto=: {forwarded}")


async def not_found(context):
    answer = await curl(context, "/nowhere")
    equal(answer.statuses(), [404], "status")


async def streamed(context):
    """The first part of a response arrives before the upstream writes the second."""
    token = context.world.number()
    argv = command(context, "--no-buffer", f"/stream?token={token}")
    process = await context.world.processes.start(f"curl-{token}", argv)
    await process.line(lambda line: True if line == "first" else None)
    equal((await curl(context, f"/stream-more?token={token}")).statuses(), [204], "status")
    await process.line(lambda line: True if line == "second" else None)
    equal(await process.wait(), 0, "exit code of curl")


CASES = {
    "download 100 MB": download,
    "download 100 MB chunked": functools.partial(download, query="?chunked"),
    "download 100 MB by HTTP/1.0": http_1_0,
    "upload 100 MB": upload,
    "upload 100 MB chunked": functools.partial(upload, options=("--header", "Transfer-Encoding: chunked")),
    "keep-alive": keep_alive,
    "connection: close": connection_close,
    "expect: 100-continue": expect_continue,
    "HEAD": head,
    "304": not_modified,
    "404": not_found,
    "request line and host": request_line,
    "hop-by-hop fields of requests": request_hops,
    "hop-by-hop fields of responses": response_hops,
    "forwarded fields": forwarded,
    "streamed response": streamed,
}


def groups(policy):
    cases = tuple(Case(f"{policy}/curl/{name}", run, seconds=SECONDS) for name, run in CASES.items())
    yield Group(f"{policy}/curl", policy, "node", cases)
