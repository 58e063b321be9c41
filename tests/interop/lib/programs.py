"""The programs not written here: found on the machine, or installed under the build directory in pinned versions."""

import hashlib
import shutil
import subprocess
import sys
import venv


class Missing(Exception):
    """A program the suite cannot do without is not there."""


def require(*names):
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise Missing(f"not installed: {', '.join(missing)}")


def _fingerprint(*files):
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _install(what, argv, cwd):
    done = subprocess.run([*map(str, argv)], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"cannot install {what}: {(done.stderr or done.stdout).strip()[-2000:]}")


def python_with_websockets(here, build):
    """The Python of a virtual environment that has requirements.txt installed."""
    wanted = here / "requirements.txt"
    place = build / "venv"
    python = place / "bin" / "python"
    mark = place / "installed"
    fingerprint = _fingerprint(wanted) + sys.version
    if not (mark.exists() and mark.read_text() == fingerprint):
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", wanted]
        _install("websockets for Python", pip, here)
        mark.write_text(fingerprint)
    return python


def node_modules_with_ws(here, build):
    """The `node_modules` folder that has ws installed."""
    return node_modules_of(here, build / "node", "ws for Node")


def node_modules_of(here, place, what):
    """The `node_modules` folder in `place` that has the package-lock.json of `here` installed."""
    wanted = [here / "package.json", here / "package-lock.json"]
    mark = place / "installed"
    fingerprint = _fingerprint(*wanted)
    if not (mark.exists() and mark.read_text() == fingerprint):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for file in wanted:
            shutil.copy(file, place)
        _install(what, ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], place)
        mark.write_text(fingerprint)
    return place / "node_modules"
