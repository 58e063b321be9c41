"""Plain requests to the proxy by Python's `http.client`, on threads, so that many can be under way at once."""

import asyncio
import concurrent.futures
import http.client
import json
import ssl
import threading

from lib.suite import check

SECONDS = 40
"""Longest wait for a byte of an answer."""

_pool = concurrent.futures.ThreadPoolExecutor(64, "ask")


async def on_a_thread(function, *args, **kwargs):
    """Runs a function that blocks, beside as many others as a case has."""
    return await asyncio.get_running_loop().run_in_executor(_pool, lambda: function(*args, **kwargs))


class Answer:
    """A response: its status, its fields and its whole body."""

    def __init__(self, response, body):
        self.status = response.status
        self.body = body
        self.message = response.msg

    def field(self, name):
        """The value of a field, or None; of several, the first."""
        return self.message.get(name)

    def fields(self, name):
        return self.message.get_all(name, [])

    def json(self):
        return json.loads(self.body)

    def cookie(self, name):
        """The value of a cookie that the answer sets, or None."""
        for line in self.fields("set-cookie"):
            pair = line.split(";")[0]
            if pair.split("=", 1)[0] == name:
                return pair.split("=", 1)[1]
        return None

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


class Client:
    """One connection at a time, kept for the next request as browsers do."""

    def __init__(self, world, port):
        trust = ssl.create_default_context(cafile=str(world.pki.ca))
        trust.set_alpn_protocols(["http/1.1"])
        trust.check_hostname = False  # the address is the certificate's too; what is asked for is in Host
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=trust)

    def ask(self, path, *, host="localhost", method="GET", fields=(), body=None, chunked=False):
        """Sends one request and waits for its answer. `fields` are pairs; a chunked body goes out in two chunks."""
        self.connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", host), *fields):
            self.connection.putheader(name, value)
        if chunked:
            self.connection.putheader("Transfer-Encoding", "chunked")
            half = len(body) // 2
            self.connection.endheaders(iter([body[:half], body[half:]]), encode_chunked=True)
        else:
            if body is not None:
                self.connection.putheader("Content-Length", str(len(body)))
            self.connection.endheaders(body)
        response = self.connection.getresponse()
        return Answer(response, response.read())

    def close(self):
        self.connection.close()


def ask_once(world, port, path, **request):
    client = Client(world, port)
    try:
        return client.ask(path, **request)
    finally:
        client.close()


async def ask(context, path, **request):
    """One request on a connection of its own."""
    return await on_a_thread(ask_once, context.world, context.proxy.port, path, **request)


async def servers_of(context, times, path="/", *, fields=()):
    """Asks `times` on one kept connection; which server answered each, as its JSON names it."""

    def run():
        client = Client(context.world, context.proxy.port)
        try:
            answers = [client.ask(path, fields=fields) for _ in range(times)]
            failed = [answer for answer in answers if answer.status != 200]
            check(not failed, f"{len(failed)} of {times} requests failed: {failed[:3]}")
            return [answer.json()["server"] for answer in answers]
        finally:
            client.close()

    return await on_a_thread(run)


class Load:
    """Threads that ask without a pause, each on its own kept connection, until they are told to stop."""

    def __init__(self, context, threads, path="/"):
        self.context = context
        self.path = path
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.answered = 0
        self.by_server = {}
        self.failed = []
        self.running = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self):
        client = Client(self.context.world, self.context.proxy.port)
        while not self.stopping.is_set():
            try:
                answer = client.ask(self.path)
                failure = None if answer.status == 200 else repr(answer)
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
                client.close()
            with self.lock:
                self.answered += 1
                if failure:
                    self.failed.append(failure)
                else:
                    server = answer.json()["server"]
                    self.by_server[server] = self.by_server.get(server, 0) + 1
        client.close()

    async def __aenter__(self):
        for thread in self.running:
            thread.start()
        return self

    async def __aexit__(self, *_):
        self.stopping.set()
        for thread in self.running:
            await on_a_thread(thread.join, SECONDS)

    async def more(self, count, server=None):
        """Waits for this many more answers, of one server or of any."""
        start = self._count(server)
        while self._count(server) < start + count:
            await asyncio.sleep(0.02)  # between two looks

    def _count(self, server):
        with self.lock:
            return self.answered if server is None else self.by_server.get(server, 0)
