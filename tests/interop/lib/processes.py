"""Processes that end with the suite, whatever happens to it.

Each is the leader of a session of its own, so that killing the group reaches its children too, and has asked the kernel
to be killed when the driver dies, so that not even `kill -9` on the driver leaves one behind.
"""

import asyncio
import contextlib
import ctypes
import os
import signal

LINE_LIMIT = 64 * 1024 * 1024
"""Longest line taken from a process, in bytes: events and logs are lines."""

TAIL_LINES = 15
"""Lines of a process's output that go into the message when it ends too early."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class EndedEarly(Exception):
    """A process ended while something was still awaited from it."""


def _die_with_the_driver():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Bell:
    """Wakes everybody who waits for something to change."""

    def __init__(self):
        self._event = asyncio.Event()

    def ring(self):
        self._event.set()
        self._event = asyncio.Event()

    async def heard(self):
        """Returns at the next ring. Look before calling: a ring is not remembered."""
        await self._event.wait()


class Process:
    """One running program, its output kept as lines that can be waited for."""

    def __init__(self, name, process, log):
        self.name = name
        self.process = process
        self.log = log
        self.lines = []
        self.exit_code = None
        """Set once the process has ended and all its output was read."""
        self.news = Bell()
        self.watch = asyncio.create_task(self._watch())

    async def _watch(self):
        await asyncio.gather(self._read(self.process.stdout), self._read(self.process.stderr))
        self.exit_code = await self.process.wait()
        self.log.close()
        self.news.ring()

    async def _read(self, stream):
        while line := await stream.readline():
            self.log.write(line)
            self.log.flush()
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
            self.news.ring()

    async def line(self, wanted, start=0):
        """The first thing other than None that `wanted` makes of a line, from line number `start` on."""
        while True:
            for line in self.lines[start:]:
                if (found := wanted(line)) is not None:
                    return found
            start = len(self.lines)
            if self.exit_code is not None:
                tail = "\n    ".join(self.lines[-TAIL_LINES:])
                raise EndedEarly(f"{self.name} ended with {self.exit_code}; it said last:\n    {tail}")
            await self.news.heard()

    async def wait(self):
        """The exit code, once all output has been read."""
        await asyncio.shield(self.watch)
        return self.exit_code

    def write(self, data):
        self.process.stdin.write(data if isinstance(data, bytes) else data.encode())

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self):
        """Kills the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Processes:
    """Everything the suite has started; leaving the context ends all of it."""

    def __init__(self, log_dir):
        self.log_dir = log_dir
        self.running = []
        log_dir.mkdir(parents=True, exist_ok=True)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for process in self.running:
            process.kill()
        for process in self.running:
            await process.wait()

    async def start(self, name, argv, *, env=None, cwd=None):
        """Starts `argv`; its output also goes to a log file named after `name`."""
        process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            limit=LINE_LIMIT,
            start_new_session=True,
            preexec_fn=_die_with_the_driver,
        )
        started = Process(name, process, open(self.log_dir / f"{name}.log", "ab"))
        self.running.append(started)
        return started

    async def run(self, argv, *, stdin=b"", env=None):
        """Runs `argv` to its end: exit code, stdout, stderr. Cancelling kills it."""
        process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            preexec_fn=_die_with_the_driver,
        )
        try:
            stdout, stderr = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, stdout, stderr.decode(errors="replace")
