"""Programs that run beside each other, and end with the run."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

PATIENCE_SECONDS = 20
STOP_SECONDS = 10


class Failed(Exception):
    """Something did not go as it must; the run cannot go on."""


class Unavailable(Exception):
    """A peer that cannot be had here, and why."""


def output(*argv):
    """What a command prints on either stream."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    text = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: exit code {done.returncode}: {text[-2000:]}")
    return text


class Running:
    """A program, or several of the same kind below a shell: `pid` is the root of its process tree."""

    def __init__(self, log, *commands):
        self.log = pathlib.Path(log)
        if len(commands) == 1:
            argv = [*map(str, commands[0])]
        else:
            argv = ["sh", "-c", " ".join(f"{shell_line(command)} &" for command in commands) + " wait"]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Its own group, so that workers and children end with it.
                start_new_session=True,
            )
        self.pid = self.process.pid

    def said(self):
        return self.log.read_text(errors="replace")

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.log.stem} ended with {self.process.returncode}: {self.said()[-2000:]}")

    def until(self, what, holds, seconds=PATIENCE_SECONDS):
        """Waits until `holds` gives something true, and gives that."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"{self.log.stem}: {what}: not within {seconds} s: {self.said()[-2000:]}")
            time.sleep(0.02)
        return found

    def stop(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS if number == signal.SIGTERM else None)
                break
        # What the group's leader left behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def shell_line(command):
    return " ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command)


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_ports(count):
    """Ports that nobody listens on. They are below those that the kernel gives to connections."""
    found = []
    with contextlib.ExitStack() as held:
        for port in range(20_000 + os.getpid() % 5_000, 32_000):
            listener = held.enter_context(socket.socket())
            # Connections of an earlier run may linger in TIME_WAIT.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise Failed("no free port")
