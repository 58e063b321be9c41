"""Certificates for one run, made by `openssl`: an authority and one leaf for each name that SNI chooses between."""

import dataclasses
import pathlib
import subprocess

LOCALHOST = "localhost"
OTHER_NAMES = ("one.example", "two.example")
"""Names beside localhost that the proxy has a certificate of its own for."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    name: str
    cert: pathlib.Path
    key: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Pki:
    ca: pathlib.Path
    leaves: tuple[Leaf, ...]
    """The first is localhost's, with the loopback addresses."""


def _openssl(*argv):
    subprocess.run(["openssl", *map(str, argv)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def make(place):
    """Makes the authority and its leaves in the folder `place`."""
    place.mkdir(parents=True, exist_ok=True)
    ca, ca_key = place / "ca.pem", place / "ca-key.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *key, "-keyout", ca_key, "-out", ca, "-days", 2, "-subj", "/CN=interop CA", *usage)
    leaves = []
    for name in (LOCALHOST, *OTHER_NAMES):
        leaf = Leaf(name, place / f"{name}.pem", place / f"{name}-key.pem")
        request = place / f"{name}.csr"
        addresses = ",IP:127.0.0.1,IP:::1" if name == LOCALHOST else ""
        extensions = place / f"{name}.ext"
        extensions.write_text(f"basicConstraints=CA:FALSE\nsubjectAltName=DNS:{name}{addresses}\n")
        _openssl("req", *key, "-keyout", leaf.key, "-out", request, "-subj", f"/CN={name}")
        sign = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", 2, "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, "-out", leaf.cert, *sign)
        leaves.append(leaf)
    return Pki(ca, tuple(leaves))
