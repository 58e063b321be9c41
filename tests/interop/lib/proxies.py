"""The proxies that the suite runs against: headpin, and nginx to show that the suite itself is right."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import urllib.request

from lib import nginx_expected

START_SECONDS = 30
STOP_SECONDS = 20


class Headpin:
    """One `headpin serve`, its ports taken from its own log."""

    is_headpin = True
    policies = ("pin", "copy")
    expected_failures = {}

    def __init__(self, world, policy, upstream_port, settings):
        self.world = world
        self.policy = policy
        self.upstream_port = upstream_port
        self.settings = settings
        self.path = world.place / f"headpin-{world.number()}.toml"
        self.process = None
        self.port = None
        self.admin_port = None

    def certificates(self):
        """The value of tls.certificates."""
        leaves = (f"{{ cert = {quote(leaf.cert)}, key = {quote(leaf.key)} }}" for leaf in self.world.pki.leaves)
        return f"[{', '.join(leaves)}]"

    def config(self):
        """The config of this proxy, as text."""
        sections = {
            "server": {"listen": quote("127.0.0.1:0"), "drain_grace": quote("5s")},
            "tls": {"certificates": self.certificates()},
            "upstream": {"servers": f"[{quote(f'http://127.0.0.1:{self.upstream_port}')}]"},
            "admin": {"listen": quote("127.0.0.1:0")},
            "log": {"format": quote("json")},
        }
        for section, settings in self.settings.items():
            more = {key: quote(value) for key, value in settings.items()}
            sections[section] = {**sections.get(section, {}), **more}
        lines = [f"head_policy = {quote(self.policy)}"]
        for section, settings in sections.items():
            lines += ["", f"[{section}]", *(f"{key} = {value}" for key, value in settings.items())]
        return "\n".join(lines) + "\n"

    def write_config(self):
        """Writes the config, or replaces it whole under a running proxy."""
        new = self.path.with_suffix(".new")
        new.write_text(self.config())
        new.rename(self.path)

    def argv(self):
        return [self.world.headpin, "serve", "--config", self.path]

    async def start(self):
        self.write_config()
        self.process = await self.world.processes.start(self.path.stem, self.argv())
        async with asyncio.timeout(START_SECONDS):
            self.port = await self.process.line(lambda line: listening(line, "proxy"))
            self.admin_port = await self.process.line(lambda line: listening(line, "admin"))
        return self

    async def stop(self):
        """SIGTERM, and the exit code that follows."""
        self.process.signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    def panics(self):
        return [line for line in self.process.lines if "panicked at" in line]

    async def metrics(self):
        """A scrape, as text."""
        url = f"http://127.0.0.1:{self.admin_port}/metrics"
        return await asyncio.to_thread(scrape, url)


class MountedHeadpin(Headpin):
    """One whose config and certificate lie in a folder that changes as the kubelet changes a mounted ConfigMap or
    Secret: each file is a symlink into `..data`, itself a symlink to a folder that holds one version of all files, and
    a new version comes into force when `..data` is renamed over. The old folder goes away after that."""

    def __init__(self, world, policy, upstream_port, leaf):
        super().__init__(world, policy, upstream_port, {})
        self.leaf = leaf
        self.folder = world.place / f"mounted-{world.number()}"
        self.path = self.folder / "headpin.toml"

    def config(self):
        lines = super().config().splitlines(keepends=True)
        certificates = f"certificates = [{{ cert = {quote('tls.crt')}, key = {quote('tls.key')} }}]\n"
        return "".join(certificates if line.startswith("certificates = ") else line for line in lines)

    def write_config(self):
        """Mounts the config and the leaf's certificate, or swaps both under a running proxy."""
        files = {
            "headpin.toml": self.config().encode(),
            "tls.crt": self.leaf.cert.read_bytes(),
            "tls.key": self.leaf.key.read_bytes(),
        }
        data = self.folder / "..data"
        old = self.folder / data.readlink() if data.is_symlink() else None
        version = self.folder / f"..version-{self.world.number()}"
        version.mkdir(parents=True)
        for name, content in files.items():
            (version / name).write_bytes(content)
        new_data = self.folder / "..data_tmp"
        new_data.symlink_to(version.name)
        new_data.rename(data)
        if old is None:
            for name in files:
                (self.folder / name).symlink_to(f"..data/{name}")
        else:
            shutil.rmtree(old)


def quote(value):
    """A TOML string; every JSON string is one."""
    return json.dumps(str(value))


def listening(line, role):
    """The port in headpin's log event that tells where `role` listens."""
    try:
        event = json.loads(line)
        fields = event.get("fields", {})
    except (ValueError, AttributeError):
        return None
    if fields.get("message") == "listening" and fields.get("role") == role:
        return int(str(fields["address"]).rsplit(":", 1)[1])
    return None


def scrape(url):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=10) as response:
        return response.read().decode()


def sample(metrics, name, **labels):
    """The sum of a metric's samples that have these labels, or None if there is none."""
    found = re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    values = [float(value) for text, value in found if all(pair in text for pair in wanted)]
    return sum(values) if values else None


class Nginx:
    """nginx as a TLS WebSocket reverse proxy; it has no head policy."""

    is_headpin = False
    policies = ("nginx",)
    expected_failures = nginx_expected.FAILURES

    def __init__(self, world, policy, upstream_port, settings):
        self.world = world
        self.policy = policy
        self.upstream_port = upstream_port
        self.settings = settings
        self.process = None
        self.port = None
        self.admin_port = None

    def config(self):
        place = self.world.place
        tls = "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:1m; ssl_buffer_size 16k;"
        servers = "\n".join(
            f"server {{ listen 127.0.0.1:{self.port} ssl; server_name {leaf.name};"
            f" ssl_certificate {leaf.cert}; ssl_certificate_key {leaf.key}; include {place}/nginx-location.conf; }}"
            for leaf in self.world.pki.leaves
        )
        temporary = "\n".join(
            f"{kind}_temp_path {place}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""\
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log stderr info;
events {{ worker_connections 4096; }}
http {{
{temporary}
access_log off;
{tls}
client_header_timeout 3s;
keepalive_timeout 3s;
client_max_body_size 0;
map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
upstream origin {{ server 127.0.0.1:{self.upstream_port} max_fails=0; keepalive 8; }}
{servers}
}}
"""

    LOCATION = """\
location / {
proxy_pass http://origin;
proxy_http_version 1.1;
proxy_buffering off;
proxy_request_buffering off;
proxy_connect_timeout 3s;
proxy_read_timeout 3s;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $http_host;
proxy_set_header Forwarded "for=$remote_addr;proto=$scheme;host=\\"$http_host\\"";
}
"""

    async def start(self):
        # nginx cannot tell which port it was given, so it gets one that was free a moment ago.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self.world.place / "nginx-location.conf").write_text(self.LOCATION)
        path = self.world.place / f"nginx-{self.world.number()}.conf"
        path.write_text(self.config())
        argv = ["nginx", "-e", "stderr", "-p", self.world.place, "-c", path]
        self.process = await self.world.processes.start(path.stem, argv)
        async with asyncio.timeout(START_SECONDS):
            await self.process.line(lambda line: True if "epoll" in line else None)
        return self

    async def stop(self):
        self.process.signal(signal.SIGQUIT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                return await self.process.wait()
        self.process.kill()
        return await self.process.wait()

    def panics(self):
        return []


BY_NAME = {"headpin": Headpin, "nginx": Nginx}
