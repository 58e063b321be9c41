"""Runs `headpin load`, the generator that verifies every byte."""

import json
import pathlib
import subprocess

from . import machine, programs

# What every proxy is measured with.
TLS = "TLSv1_3 TLS13_AES_128_GCM_SHA256 X25519"


class Generator:
    """The program, and whom it trusts."""

    def __init__(self, headpin, ca):
        self.headpin, self.ca = headpin, ca

    def argv(self, kind, port, pid, options, path=""):
        target = f"wss://localhost:{port}{path}"
        return [str(self.headpin), "load", kind, target, "--ca", str(self.ca), "--json", "--pid", str(pid), *options]

    def run(self, kind, port, pid, *options, path="", origin=None):
        """A whole run: its report, with what the origin used of the processor added."""
        before = origin and machine.cpu_seconds(origin)
        done = subprocess.run(
            self.argv(kind, port, pid, options, path), capture_output=True, text=True, check=False, timeout=300
        )
        report = read(done.stdout.splitlines()[-1] if done.stdout else "", done.stderr)
        report["origin_cpu_seconds"] = origin and machine.cpu_seconds(origin) - before
        return report

    def held(self, log, kind, port, pid, *options, path="", ready_seconds=120):
        """A run that has opened its connections and holds them until it is let go."""
        return Held(log, self.argv(kind, port, pid, [*options, "--announce-ready", "--until-stdin-closes"], path), ready_seconds)


class Held:
    """Connections that are open until `close`."""

    def __init__(self, log, argv, ready_seconds):
        with pathlib.Path(log).open("wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
        self.log = pathlib.Path(log)
        line = self.process.stdout.readline()
        if not line:
            raise programs.Failed(f"headpin load: {self.log.read_text()[-2000:]}")
        self.ready = json.loads(line)["ready"]

    def close(self):
        """Closes them; the report."""
        self.process.stdin.close()
        last = self.process.stdout.read().splitlines()
        self.process.wait()
        return read(last[-1] if last else "", self.log.read_text())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def read(line, errors):
    try:
        report = json.loads(line)
    except json.JSONDecodeError:
        raise programs.Failed(f"headpin load gave no report: {errors[-2000:]}") from None
    if report["tls"] not in (TLS, None):
        raise programs.Failed(f"{report['target']} speaks {report['tls']}, not {TLS}")
    return report


def seconds(length):
    """A duration as the generator takes it."""
    return f"{round(length * 1000)}ms"


def faults(report):
    """What went wrong, by kind: how often."""
    return {kind: seen["count"] for kind, seen in report["faults"].items()}
