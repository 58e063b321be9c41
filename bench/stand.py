"""What is measured: the proxy, its origin and the load generator, each a process of its own on loopback."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request

ADDRESSES = ("127.0.0.1:8443", "127.0.0.1:9900")
"""Where the proxy listens without a config."""

PATIENCE = 120.0
"""Nothing here takes so long, in seconds."""

CONFIG = """
head_policy = "copy"
[server]
listen = "127.0.0.1:0"
workers = 2
[tls]
certificates = [{{ cert = "certs/localhost.pem", key = "certs/localhost-key.pem" }}]
[upstream]
servers = ["{upstream}"]
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
access = false
"""


class Proxy:
    """The proxy on a config of this program's, before an origin that is a process of its own."""

    def __init__(self, headpin, folder):
        self.headpin = headpin
        subprocess.run([headpin, "certs", "--out", folder / "certs"], check=True, stdout=subprocess.DEVNULL)
        self.trust = ["--ca", folder / "certs" / "ca.pem"]
        origin = subprocess.Popen([headpin, "upstream", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        self.processes = [origin]
        upstream = re.search(r"http://\S+", origin.stdout.readline()).group()
        (folder / "headpin.toml").write_text(CONFIG.format(upstream=upstream))
        serve = [headpin, "serve", "--config", folder / "headpin.toml"]
        self.process = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
        self.processes.append(self.process)
        roles = {}
        while len(roles) < 2:
            line = self.process.stderr.readline()
            if not line:
                sys.exit("the proxy did not start")
            fields = json.loads(line)["fields"]
            if fields.get("message") == "listening":
                roles[fields["role"]] = fields["address"]
        self.address, self.admin = roles["proxy"], roles["admin"]

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()

    def messages(self):
        """Messages that tunnels have relayed, both ways."""
        with self.opened(f"http://{self.admin}/metrics") as answer:
            counts = re.findall(r"^headpin_tunnel_messages_total\{.*\} (\d+)$", answer.read().decode(), re.MULTILINE)
        return sum(map(int, counts))

    def ask(self, path, method="GET", body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.admin}{path}", data=data, method=method, headers=headers)
        with self.opened(request) as answer:
            return json.load(answer)

    @staticmethod
    def opened(request):
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)

    def memory(self, sockets=False):
        """`/api/memory`, and the resident set as the kernel tells it from outside: what came between before and after is right."""
        before = self.outside()
        told = self.ask("/api/memory" + ("?sockets=true" if sockets else ""))
        told["anonymous_bytes"] = self.anonymous()
        least, most = sorted((before, self.outside()))
        told["outside_bytes"] = min(max(told["resident_bytes"], least), most)
        return told

    def anonymous(self):
        """What of the resident set is no file's: without the code that was read in."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024

    def outside(self):
        rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE).group(1)) * 1024

    def cpu_seconds(self, thread):
        """What the threads of that name have used so far."""
        ticks = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            name, _, fields = (task / "stat").read_text().rpartition(") ")
            if name.endswith(f"({thread}"):
                ticks += sum(map(int, fields.split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def load(self, kind, path, *options):
        """A load generator that is at work."""
        command = [self.headpin, "load", kind, f"wss://{self.address}{path}", *self.trust, "--json", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def tunnels(self, count, hold="600s"):
        load = self.load("idle", "/echo", "-n", str(count), "--hold", hold)
        self.until(f"{count} tunnels", lambda told: told["connections"]["tunnels"] >= count)
        return load

    def until(self, what, holds):
        deadline = time.monotonic() + PATIENCE
        while not holds(self.ask("/api/memory")):
            if time.monotonic() > deadline:
                sys.exit(f"{what}: not within {PATIENCE:.0f} s")
            time.sleep(0.05)


class Embedded(Proxy):
    """The proxy as it runs without a config."""

    def __init__(self, headpin, folder):
        self.headpin, self.trust = headpin, ["--insecure"]
        self.address, self.admin = ADDRESSES
        for address in ADDRESSES:
            host, port = address.split(":")
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    sys.exit(f"something listens on {address}, where the proxy is without a config; end it first")
        environment = {name: value for name, value in os.environ.items() if name != "HEADPIN_CONFIG"}
        log = open(folder / "log", "w")
        self.process = subprocess.Popen([headpin, "serve"], stdout=log, stderr=log, env=environment, cwd=folder)
        self.processes = [self.process]
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.memory() and None
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"the proxy did not start: {(folder / 'log').read_text()}")
                time.sleep(0.02)


def closed(load):
    load.terminate()
    load.wait()
