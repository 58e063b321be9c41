"""Programs under test and what they are asked."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import venv

PATIENCE_SECONDS = 20
STOP_SECONDS = 10
# Proxies of the environment are not for addresses of this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """Something is not as it should be."""


def eventually(what, probe, seconds=PATIENCE_SECONDS):
    """Asks again until `probe` gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            result = probe()
        except (OSError, Failed) as error:
            result, why = None, f": {error}"
        else:
            why = ""
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s{why}")
        time.sleep(0.1)


def python_with(requirements, place):
    """The Python of a virtual environment at `place` that has what the file asks for; made when the file has changed."""
    mark = place / "installed"
    fingerprint = hashlib.sha256(requirements.read_bytes()).hexdigest() + sys.version
    if not (mark.exists() and mark.read_text() == fingerprint):
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        mark.write_text(fingerprint)
    return place / "bin" / "python"


@contextlib.contextmanager
def running(log, *argv, stdin=subprocess.DEVNULL):
    """A program that is told to end at the end, and made to if it does not."""
    with open(log, "wb") as output:
        child = subprocess.Popen([*map(str, argv)], stdout=output, stderr=subprocess.STDOUT, stdin=stdin)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin:
            child.stdin.close()


def logged(child, log, pattern):
    """What the group of `pattern` matches in the log, as soon as it is there."""

    def probe():
        found = re.search(pattern, pathlib.Path(log).read_text())
        if not found and child.poll() is not None:
            raise SystemExit(f"{child.args[0]} ended with {child.returncode}: {pathlib.Path(log).read_text()[-2000:]}")
        return found and found[1]

    return eventually(f"{pattern} in {log}", probe)


def listening_port(child):
    """The port that a child bound to port 0 and does not tell: from /proc, so that nobody else can take it meanwhile."""

    def probe():
        own = set()
        for file in os.scandir(f"/proc/{child.pid}/fd"):
            with contextlib.suppress(OSError):
                own.add(os.readlink(file.path))
        for table in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{child.pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                    return int(fields[1].rsplit(":", 1)[1], 16)
        return None

    return eventually(f"{child.args[0]} listens", probe)


def http(url, method="GET", body=None):
    """Status and text."""
    request = urllib.request.Request(url, method=method, data=body)
    try:
        with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Prometheus:
    """The API of one that runs."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path, **parameters):
        status, text = http(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}")
        answer = json.loads(text) if text.startswith("{") else {"error": text}
        if status != 200 or answer.get("status") != "success":
            raise Failed(f"Prometheus answers {status}: {answer.get('error')}")
        return answer["data"]

    def now(self, query):
        """The value of the first series, None if there is none."""
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def since(self, start, query):
        """Every series as pairs of time and value."""
        found = self.ask("query_range", query=query, start=start, end=time.time(), step=1)["result"]
        return [[(at, float(value)) for at, value in series["values"]] for series in found]
