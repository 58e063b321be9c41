"""Terminals that share a folder, an environment and, where the kernel lets us, a network of their own."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

# Its own network, so that the documents' ports are free whatever else runs here; its own processes, so that none is left.
NAMESPACES = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
PORTS = (3000, 8443, 9001, 9090, 9900, 9901)
# A new network's loopback is down: SIOCSIFFLAGS of netdevice(7), IFF_UP and IFF_RUNNING.
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x41))
os.execvp(sys.argv[1], sys.argv[1:])
"""
# Reads orders from its standard input: a verb, a block's file, a file for the output. Answers one line to each.
DRIVER = r"""
set -m -o pipefail
exec 3<&0 4>&1
while IFS=' ' read -r -u 3 verb BLOCK OUTPUT; do
  case $verb in
    run)
      failed=
      trap '[[ ${BASH_SOURCE[0]} == "$BLOCK" ]] && { failed="$LINENO: $BASH_COMMAND"; return; }' ERR
      . "$BLOCK" </dev/null >"$OUTPUT" 2>&1 3<&- 4<&-
      status=$?
      trap - ERR
      printf '%s %s\n' "$status" "${failed//$'\n'/ }" >&4
      ;;
    stay)
      (. "$BLOCK") </dev/null >"$OUTPUT" 2>&1 3<&- 4<&- &
      printf '%s\n' "$!" >&4
      # Nobody wants to be told in the middle of another block that it has ended.
      disown
      ;;
    alive) if kill -0 -- "-$BLOCK" 2>/dev/null; then echo yes >&4; else echo no >&4; fi ;;
    interrupt) kill -INT -- "-$BLOCK" 2>/dev/null; echo >&4 ;;
    where) printf '%s\n' "$PWD" >&4 ;;
  esac
done
"""


class Silent(Exception):
    """A terminal that does not answer in time."""


def namespaces():
    """The command that gives a process namespaces of its own, or nothing where that is not allowed."""
    for way in (["unshare", *NAMESPACES], ["unshare", "--user", "--map-root-user", *NAMESPACES]):
        try:
            if subprocess.run([*way, "true"], capture_output=True).returncode == 0:
                return way
        except FileNotFoundError:
            break
    return []


def taken_ports():
    """Those of the documents' ports that somebody else listens on."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield port


class Terminals:
    """One in which blocks are typed, and one more for each program that stays."""

    def __init__(self, folder, scratch, environment, patience):
        self.folder, self.scratch, self.environment, self.patience = folder, scratch, environment, patience
        self.typed, self.started = 0, []
        way = namespaces()
        up = [*way, sys.executable, "-c", LOOPBACK_UP] if way else []
        self.shell = subprocess.Popen(
            [*up, "bash", "--noprofile", "--norc", "-c", DRIVER],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        # In a namespace of processes their numbers mean nothing to us, and the kernel ends them with the first of them.
        self.alone = bool(way)

    def _order(self, *words):
        self.shell.stdin.write((" ".join(map(str, words)) + "\n").encode())
        until, answer = time.monotonic() + self.patience, b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self.shell.stdout], [], [], max(0, until - time.monotonic()))
            part = self.shell.stdout.read(4096) if ready else b""
            if not part:
                raise Silent
            answer += part
        return answer.decode().strip()

    def _files(self, text):
        self.typed += 1
        block, output = self.scratch / f"{self.typed}.sh", self.scratch / f"{self.typed}.txt"
        block.write_text(text + "\n")
        output.touch()
        return block, output

    def run(self, text):
        """Types a block; its exit status, the command that failed, and the output."""
        block, output = self._files(text)
        try:
            status, _, failed = self._order("run", block, output).partition(" ")
        except Silent:
            status, failed = -1, f"still running after {self.patience} s, or it ended the shell"
        return int(status), failed, output.read_text(errors="replace")

    def run_online(self, text):
        """The same in the machine's own network; variables that it sets are lost."""
        block, output = self._files("set -eo pipefail\n" + text)
        where = self._order("where")
        with output.open("w") as out:
            done = subprocess.run(
                ["bash", block], cwd=where, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=self.patience
            )
        return done.returncode, text, output.read_text(errors="replace")

    def stay(self, text):
        """Starts what goes on; a handle for the methods below."""
        block, output = self._files(text)
        group = self._order("stay", block, output)
        self.started.append(int(group))
        return group, output

    def alive(self, handle):
        """Whether it still runs."""
        return self._order("alive", handle[0]) == "yes"

    def interrupt(self, handle):
        """Ctrl-C, and until it has ended; False if it does not."""
        self._order("interrupt", handle[0])
        until = time.monotonic() + self.patience
        while self.alive(handle):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)  # between two looks
        return True

    def close(self):
        """Ends whatever is left."""
        for group in (self.shell.pid, *([] if self.alone else self.started)):
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.shell.wait()
