"""headpin and its peers: how each is had, told its work, and started. Their configs are in bench/peers."""

import dataclasses
import functools
import pathlib
import re
import shutil

from . import install, programs

PEERS = install.PEERS


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a proxy runs and whom it serves."""

    folder: pathlib.Path
    port: int
    admin: int
    origins: tuple[int, ...]
    certs: pathlib.Path

    def fill(self, template, **more):
        """A config with its blanks, `@so@`, filled in; written into the folder."""
        values = {
            "folder": self.folder,
            "port": self.port,
            "admin": self.admin,
            "origin": self.origins[0],
            "origins": ", ".join(f'"http://127.0.0.1:{port}"' for port in self.origins),
            "servers": "\n".join(f"    server o{port} 127.0.0.1:{port}" for port in self.origins),
            "cert": self.cert,
            "key": self.key,
            "pem": self.folder / "both.pem",
            **more,
        }
        if "@pem@" in (text := template.read_text()):
            (self.folder / "both.pem").write_bytes(self.cert.read_bytes() + self.key.read_bytes())
        filled = self.folder / template.name
        filled.write_text(re.sub(r"@(\w+)@", lambda blank: str(values[blank.group(1)]), text))
        return filled

    @property
    def cert(self):
        return self.certs / "localhost.pem"

    @property
    def key(self):
        return self.certs / "localhost-key.pem"


@dataclasses.dataclass(frozen=True)
class Contender:
    """A proxy under a name. `get` gives what it needs or raises Unavailable; `command` its arguments, from that and a place."""

    name: str
    get: object
    command: object
    version: object
    # What ends TLS only is no proxy of HTTP: said in the tables.
    note: str = ""

    def start(self, have, place, log, copies=1):
        """The proxy, listening; several copies share the port."""
        places = [place]
        for number in range(1, copies):
            places.append(dataclasses.replace(place, folder=place.folder / str(number), admin=place.admin + number))
        commands = []
        for each in places:
            each.folder.mkdir(parents=True, exist_ok=True)
            commands.append(self.command(have, each))
        running = programs.Running(log, *commands)
        try:
            running.until("listens", lambda: programs.accepts(place.port))
        except BaseException:
            running.stop()
            raise
        return running


def headpin(program, policy, variant="", routes=""):
    """headpin itself; another than the usual one has a variant's name."""

    def command(have, place):
        return [have, "serve", "--config", place.fill(PEERS / "headpin" / "headpin.toml", policy=policy, routes=routes)]

    return Contender(
        f"headpin ({variant})" if variant else "headpin",
        lambda build: program,
        command,
        lambda have: programs.output(have, "--version").removeprefix("headpin "),
    )


def nginx(name, folder):
    def command(have, place):
        return [have, "-p", place.folder, "-e", "stderr", "-c", place.fill(PEERS / folder / "nginx.conf")]

    return Contender(
        name,
        lambda build: install.program("nginx", "nginx-light", "/usr/sbin/nginx"),
        command,
        lambda have: programs.output(have, "-v").rpartition("/")[2],
    )


def haproxy():
    return Contender(
        "HAProxy",
        lambda build: install.program("haproxy", "haproxy", "/usr/sbin/haproxy"),
        lambda have, place: [have, "-q", "-db", "-f", place.fill(PEERS / "haproxy" / "haproxy.cfg")],
        lambda have: re.search(r"version ([0-9.]+)", programs.output(have, "-v")).group(1),
    )


def hitch():
    return Contender(
        "hitch",
        lambda build: install.program("hitch", "hitch", "/usr/sbin/hitch"),
        lambda have, place: [have, f"--config={place.fill(PEERS / 'hitch' / 'hitch.conf')}"],
        lambda have: programs.output(have, "--version").split()[-1],
        note="TLS only",
    )


def caddy():
    def command(have, place):
        # Its state goes into the run's folder and not into the user's.
        env = ["env", "GOMAXPROCS=2", f"XDG_CONFIG_HOME={place.folder}", f"XDG_DATA_HOME={place.folder}"]
        config = place.fill(PEERS / "caddy" / "Caddyfile")
        return [*env, have, "run", "--adapter", "caddyfile", "--config", config]

    return Contender(
        "Caddy",
        lambda build: install.program("caddy", "caddy", "/usr/bin/caddy"),
        command,
        lambda have: programs.output(have, "version").split()[0].removeprefix("v"),
    )


def envoy():
    def command(have, place):
        config = place.fill(PEERS / "envoy" / "envoy.yaml")
        return [have, "--config-path", config, "--concurrency", "2", "--disable-hot-restart", "--log-level", "critical"]

    return Contender(
        "Envoy",
        install.envoy,
        command,
        lambda have: re.search(r"version: \w+/([0-9.]+)", programs.output(have, "--version")).group(1),
    )


def node():
    def command(have, place):
        program, folder = have
        return [program, folder / "proxy.js", place.port, place.cert, place.key, place.origins[0]]

    def version(have):
        program, folder = have
        found = (folder / "node_modules" / "http-proxy" / "package.json").read_text()
        of_proxy = re.search(r'"version": "([^"]+)"', found).group(1)
        return f"{programs.output(program, '--version').removeprefix('v')} + http-proxy {of_proxy}"

    return Contender("Node", install.node_proxy, command, version)


def pingora():
    def version(_):
        lock = (PEERS / "pingora" / "Cargo.lock").read_text()
        return re.search(r'name = "pingora"\nversion = "([^"]+)"', lock).group(1)

    return Contender(
        "Pingora",
        install.pingora,
        lambda have, place: [have, f"127.0.0.1:{place.port}", place.cert, place.key, f"127.0.0.1:{place.origins[0]}"],
        version,
        note="rustls",
    )


def peers():
    """Every peer, by the key that --peers takes."""
    return {
        "nginx": nginx("nginx", "nginx"),
        "nginx-lean": nginx("nginx, lean", "nginx-lean"),
        "haproxy": haproxy(),
        "hitch": hitch(),
        "envoy": envoy(),
        "pingora": pingora(),
        "caddy": caddy(),
        "node": node(),
    }


# What only the rows of memory are measured with.
MEMORY_ONLY = {"nginx, lean"}


class Stage:
    """Where a run's programs live: origins, proxies, held connections. Everything ends with it."""

    def __init__(self, headpin_program, folder, logs):
        self.program, self.folder, self.logs = headpin_program, folder, logs
        self.certs = folder / "certs"
        programs.output(headpin_program, "certs", "--out", self.certs)
        self.started = []

    @property
    def ca(self):
        return self.certs / "ca.pem"

    def keep(self, thing, end):
        self.started.append((thing, end))
        return thing

    def origins(self, count=1):
        """Plain-TCP origins: their ports and the process tree they are."""
        ports = programs.free_ports(count)
        commands = [[self.program, "upstream", "--listen", f"127.0.0.1:{port}"] for port in ports]
        running = self.keep(programs.Running(self.logs / "origin.log", *commands), programs.Running.stop)
        for port in ports:
            running.until("listens", functools.partial(programs.accepts, port))
        return tuple(ports), running

    def proxy(self, contender, have, origins, copies=1):
        """A proxy that serves; its process tree and its place."""
        folder = self.folder / re.sub(r"\W+", "-", contender.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # hitch's workers are not root.
        folder.chmod(0o755)
        port, admin, *_ = programs.free_ports(1 + copies)
        place = Place(folder, port, admin, origins, self.certs)
        log = self.logs / f"{folder.name}.log"
        return self.keep(contender.start(have, place, log, copies), programs.Running.stop), place

    def hold(self, held):
        return self.keep(held, lambda each: each.kill())

    def end(self, thing):
        """Ends one of what was started."""
        for index, (each, end) in enumerate(self.started):
            if each is thing:
                end(each)
                del self.started[index]
                return

    def __enter__(self):
        return self

    def clear(self):
        """Ends all that was started."""
        while self.started:
            thing, end = self.started.pop()
            end(thing)

    def __exit__(self, *_):
        self.clear()
