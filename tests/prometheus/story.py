"""Pin, growth, flip, fall, with every fault on the way that a client, an upstream or an operator can cause."""

import contextlib
import socket
import ssl
import subprocess

from programs import Failed, eventually, http, logged, running

HELD_TUNNELS = 30
# Pinned bytes that are worth a story: as many slabs of this size.
SLAB_BYTES = 64 << 10
PINNED_SLABS = 20

CONFIG = """
head_policy = "copy"
[server]
listen = "127.0.0.1:0"
workers = 2
[tls]
certificates = [{{ cert = "certs/localhost.pem", key = "certs/localhost-key.pem" }}]
[slabs]
tls_capacity = {slab}
tcp_capacity = {slab}
[[routes]]
upstream = "default"

[upstream]
servers = ["{origin}", "http://127.0.0.1:{dead}"]
[admin]
listen = "127.0.0.1:0"
"""


@contextlib.contextmanager
def proxy(headpin, place):
    """A proxy before a living and a dead server; gives what the story needs to know of it."""
    subprocess.run([headpin, "certs", "--out", place / "certs"], check=True, capture_output=True)
    with contextlib.ExitStack() as stack:
        # Bound and not listening: connecting is refused, and nobody else gets the port.
        dead = stack.enter_context(socket.socket())
        dead.bind(("127.0.0.1", 0))
        log = place / "upstream.log"
        upstream = stack.enter_context(running(log, headpin, "upstream", "--listen", "127.0.0.1:0"))
        origin = logged(upstream, log, r"listening on (http://\S+)")
        config = place / "headpin.toml"
        config.write_text(CONFIG.format(slab=SLAB_BYTES, origin=origin, dead=dead.getsockname()[1]))
        log = place / "headpin.log"
        child = stack.enter_context(running(log, headpin, "serve", "--config", config))
        yield Proxy(
            headpin,
            place,
            config,
            child,
            upstream,
            logged(child, log, r'role="?proxy"? address=127.0.0.1:(\d+)'),
            logged(child, log, r'role="?admin"? address=(127.0.0.1:\d+)'),
        )


class Proxy:
    """One that runs."""

    def __init__(self, headpin, place, config, child, upstream, port, admin):
        self.headpin, self.place, self.config, self.child, self.upstream = headpin, place, config, child, upstream
        self.port, self.admin = int(port), admin

    def flip(self, policy):
        status, text = http(f"http://{self.admin}/api/head_policy", "PUT", b'{"head_policy": "%s"}' % policy.encode())
        if status != 200:
            raise Failed(f"the flip to {policy}: {status} {text}")

    def load(self, name, *arguments, **options):
        target = f"{'https' if name in ('upload', 'download') else 'wss'}://localhost:{self.port}"
        common = ("load", name, target, "--ca", self.place / "certs" / "ca.pem")
        return running(self.place / f"load-{name}.log", self.headpin, *common, *arguments, **options)

    def expect(self, status, text, tls=True):
        """Sends `text` on a connection of its own; the first line of the answer has `status` in it."""
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=10))
            if tls:
                context = ssl.create_default_context(cafile=self.place / "certs" / "ca.pem")
                stream = stack.enter_context(context.wrap_socket(stream, server_hostname="localhost"))
            stream.sendall(text.replace("\n", "\r\n").encode())
            answer = stream.recv(4096).split(b"\r\n")[0].decode()
            if status not in answer:
                raise Failed(f"{text.splitlines()[0]} is answered {answer!r}, not{status}")


def operator_fault(proxy, prometheus):
    """A faulty config is refused, the old one written back is applied."""
    good = proxy.config.read_text()
    for text, successful in [(good + "nonsense = 1\n", 0), (good, 1)]:
        proxy.config.write_text(text)
        eventually(
            f"Prometheus sees that the last reload was {'applied' if successful else 'refused'}",
            lambda wanted=successful: prometheus.now("headpin_config_last_reload_successful") == wanted,
        )
    return "a faulty config is refused, the good one applied, and Prometheus sees both"


UPGRADE = "GET /echo HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
FAULTS = {
    'headpin_config_reloads_total{result="refused"}': "a refused reload",
    'headpin_upgrades_total{result="bad_request"}': "an upgrade request without a key",
    'headpin_tls_handshakes_total{result="plain_http"}': "plain HTTP on the TLS port",
    'headpin_upgrades_total{result="unreachable"}': "an upgrade for which no server could be reached",
    'headpin_upstream_failures_total{cause="connect"}': "a server that refuses connections",
    'headpin_tunnels_closed_total{reason=~"upstream_.*"}': "tunnels that the upstream ended",
}


def faults(proxy, prometheus):
    """What clients do wrong; then the upstream goes."""
    proxy.expect(" 400 ", UPGRADE + "\n")
    proxy.expect(" 400 ", "GET / HTTP/1.1\nHost: localhost\n\n", tls=False)
    proxy.upstream.terminate()
    proxy.upstream.wait()
    proxy.expect(" 502 ", UPGRADE + KEY + "\n")
    for series, what in FAULTS.items():
        eventually(f"Prometheus counts {what}", lambda asked=series: prometheus.now(f"sum({asked}) > 0"))
    eventually("Prometheus sees no server up", lambda: prometheus.now("max(headpin_upstream_server_up) == bool 0"))
    return f"Prometheus counts each of {len(FAULTS)} kinds of fault, and sees no server up when the upstream is gone"


def tell(proxy, prometheus):
    """Runs the story; yields what held, one text each."""
    yield operator_fault(proxy, prometheus)
    with contextlib.ExitStack() as stack:
        proxy.flip("pin")
        holding = ("-n", HELD_TUNNELS, "--rate", 10, "--until-stdin-closes")
        stack.enter_context(proxy.load("head", *holding, stdin=subprocess.PIPE))
        for name, arguments in [
            ("echo", ("-n", 4, "--size", 2048, "--rate", 4)),
            ("churn", ("--parallel", 1, "--rate", 5)),
            ("upload", ("-n", 1, "--size", "64KiB")),
            ("download", ("-n", 1, "--size", "64KiB")),
        ]:
            stack.enter_context(proxy.load(name, *arguments, "--duration", "120s"))
        grown = eventually(
            "growth under pin, in Prometheus",
            lambda: prometheus.now(
                f"sum(headpin_slab_pinned_bytes) >= {PINNED_SLABS * SLAB_BYTES} and sum(headpin_heads_held) >= {HELD_TUNNELS}"
            ),
        )
        yield f"under pin Prometheus sees at least {PINNED_SLABS} slabs pinned: {grown:.0f} bytes"
        proxy.flip("copy")
        tunnels = eventually(
            "the fall after the flip, in Prometheus",
            lambda: prometheus.now(
                f"sum(headpin_tunnels_open) >= {HELD_TUNNELS} and sum(headpin_slab_pinned_bytes) == 0"
                ' and sum(headpin_heads_held) == 0 and max(headpin_head_policy{policy="copy"}) == 1'
            ),
        )
        yield f"after the flip to copy Prometheus sees nothing pinned, with {tunnels:.0f} tunnels open"
        yield faults(proxy, prometheus)
