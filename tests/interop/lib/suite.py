"""Cases, the groups that share a proxy, and the runner that prints one line for each case."""

import asyncio
import contextlib
import dataclasses
import fnmatch
import itertools
import pathlib
import time
import traceback
from collections.abc import Awaitable, Callable

from lib import pki, proxies, raw
from lib.peers import Peer
from lib.processes import Processes

CASE_SECONDS = 30
"""Deadline of a case that sets no other."""

SETTLE_SECONDS = 15
"""How long a proxy may take to let go of everything after the last case of its group."""


class Failure(Exception):
    """The case saw something else than it must."""


class Skipped(Exception):
    """The case cannot run here, for the reason given."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, not {wanted!r}")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    run: Callable[["Context"], Awaitable[None]]
    seconds: float = CASE_SECONDS


@dataclasses.dataclass(frozen=True)
class Group:
    """Cases that share one proxy in front of one upstream."""

    name: str
    policy: str | None
    """None for cases that need no proxy, or start their own."""
    upstream: str | None
    """Which: "python", "node", "raw" for one that the cases themselves answer for, or "dead" for none."""
    cases: tuple[Case, ...]
    settings: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    """Keys of headpin's config beside those of every group, by section."""
    checked_after: bool = True
    """Whether to see that the proxy let go of everything and stops; not where the cases stop it themselves."""


@dataclasses.dataclass(frozen=True)
class Context:
    """What a case works with."""

    world: "World"
    proxy: object
    upstream: object
    on_failure: list[Callable[[], None]] = dataclasses.field(default_factory=list)
    """What to do if the case fails, so that nothing of it lasts into the next."""


class World:
    """What all groups share: the build directory, certificates, processes and peers."""

    def __init__(self, options, here, place, processes, python, node_modules):
        self.here = here
        self.place = place
        self.processes = processes
        self.headpin = options.headpin
        self.proxy_class = proxies.BY_NAME[options.proxy]
        self.programs = {"python": [python], "node": ["node"]}
        self.node_modules = node_modules
        self.pki = pki.make(place / "pki")
        self.numbers = itertools.count(1)
        self.peers = {}

    def number(self):
        """A number nobody else gets."""
        return next(self.numbers)

    async def peer(self, role, language):
        """The running peer of this role ("client" or "upstream") and language; started anew if it has gone."""
        name = f"{language}-{role}"
        peer = self.peers.get(name)
        if peer is None or peer.gone is not None:
            peer = self.peers[name] = await self.start_peer(role, language, name)
        return peer

    async def start_peer(self, role, language, name, **env):
        """A peer of its own, with these variables in its environment."""
        script = self.here / f"{role}s" / f"{language}.{'py' if language == 'python' else 'js'}"
        return await self.start_script(script, name, [self.pki.ca], **env)

    async def start_script(self, script, name, arguments=(), **env):
        """A peer of its own that runs this script."""
        program = self.programs["python" if script.suffix == ".py" else "node"]
        env = {"NODE_PATH": str(self.node_modules), "INTEROP_FILE": str(self.big_file), **env}
        async with asyncio.timeout(CASE_SECONDS):
            return await Peer.start(self.processes, name, [*program, script, *arguments], env)

    @property
    def big_file(self):
        return self.place / "100-megabytes"

    @contextlib.asynccontextmanager
    async def upstream(self, kind):
        if kind == "raw":
            async with raw.Upstream() as upstream:
                yield upstream
        elif kind == "dead":
            with raw.closed_port() as upstream:
                yield upstream
        else:
            yield await self.peer("upstream", kind)


class Report:
    """Counts results and prints them as they come."""

    def __init__(self, expected_failures):
        self.expected_failures = expected_failures
        self.passed = 0
        self.failed = []
        self.as_expected = []
        self.skipped = []

    def _print(self, word, name, seconds, reason=""):
        first, *more = reason.splitlines() or [""]
        print(f"{word:<8} {name:<58} {seconds:6.2f} s  {first}".rstrip(), flush=True)
        for line in more:
            print(f"         {line}", flush=True)

    def _expected(self, name):
        return next((why for glob, why in self.expected_failures.items() if fnmatch.fnmatch(name, glob)), None)

    async def run(self, case, context):
        """Runs one case to its end or its deadline."""
        start = time.monotonic()
        context = dataclasses.replace(context, on_failure=[])
        failure = None
        try:
            async with asyncio.timeout(case.seconds) as deadline:
                await run_ungrouped(case, context)
        except Skipped as skipped:
            self.skipped.append(f"{case.name}: {skipped}")
            self._print("skipped", case.name, time.monotonic() - start, str(skipped))
            return
        except TimeoutError as error:
            what = f"not done within {case.seconds:g} s" if deadline.expired() else "timed out"
            failure = f"{what}, at {line_of(error.__cause__ or error)}"
        except Failure as error:
            failure = str(error)
        except asyncio.IncompleteReadError as error:
            failure = f"the connection ended early, {len(error.partial)} B into what was awaited, at {line_of(error)}"
        except Exception as error:  # noqa: BLE001 any other is a failed case as well
            failure = f"{type(error).__name__}: {error}, at {line_of(error)}"
        if failure is not None:
            for undo in context.on_failure:
                undo()
        self.record(case.name, failure, time.monotonic() - start)

    def record(self, name, failure, seconds):
        why = self._expected(name)
        if why is not None and failure is None:
            failure = f"passed, though listed as failing: {why}"
        elif why is not None:
            self.as_expected.append(name)
            self._print("expected", name, seconds, why)
            return
        if failure is None:
            self.passed += 1
            self._print("ok", name, seconds)
        else:
            self.failed.append(name)
            self._print("FAILED", name, seconds, failure)

    def finish(self):
        """Prints the counts; whether all is well."""
        if self.failed:
            print("\nfailed:", *self.failed, sep="\n  ")
        if self.skipped:
            print("\nskipped:", *self.skipped, sep="\n  ")
        if self.as_expected:
            print(f"\n{len(self.as_expected)} failed as listed for this proxy")
        print(f"{self.passed} passed, {len(self.failed)} failed")
        return self.passed > 0 and not self.failed


async def run_ungrouped(case, context):
    """Runs a case; of several exceptions that came at once, the first is raised."""
    try:
        await case.run(context)
    except ExceptionGroup as group:
        error = group
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def line_of(error):
    """The line of a case that an exception came out of."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (path := pathlib.Path(frame.filename)).parent.name == "cases":
            return f"{path.name}:{frame.lineno}"
    return "an unknown line"


async def run_group(world, group, report):
    """Starts the group's proxy, runs its cases, and sees that the proxy let go of all and stops as it should."""
    if group.policy is None:
        for case in group.cases:
            await report.run(case, Context(world, None, None))
        return
    start = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        try:
            upstream = await stack.enter_async_context(world.upstream(group.upstream))
            proxy = world.proxy_class(world, group.policy, upstream.port, group.settings)
            stack.callback(lambda: proxy.process and proxy.process.kill())
            await proxy.start()
        except Exception as error:  # noqa: BLE001 whatever it was, no case of the group can run
            for case in group.cases:
                report.record(case.name, f"no proxy: {type(error).__name__}: {error}", time.monotonic() - start)
            return
        for case in (*group.cases, *checks_after(group, proxy)):
            await report.run(case, Context(world, proxy, upstream))


def checks_after(group, proxy):
    if group.checked_after and proxy.is_headpin:
        yield Case(f"{group.name}/nothing left behind", nothing_left_behind)
        yield Case(f"{group.name}/metrics lint", metrics_lint)
    if group.checked_after:
        yield Case(f"{group.name}/stops", stops)


GONE_WITH_THE_TRAFFIC = (
    "heads_held",
    "head_held_bytes",
    "slabs_pinned",
    "slab_pinned_bytes",
    "tunnels_open",
    "downstream_connections_open",
    "requests_in_flight",
)
"""Gauges that must be back at zero once every connection has ended."""


async def nothing_left_behind(context):
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        metrics = await context.proxy.metrics()
        left = {name: proxies.sample(metrics, f"headpin_{name}") for name in GONE_WITH_THE_TRAFFIC}
        if all(value == 0 for value in left.values()):
            return
        missing = [name for name, value in left.items() if value is None]
        check(not missing, f"no such metric: {', '.join(missing)}")
        check(time.monotonic() < deadline, f"still there: {({name: value for name, value in left.items() if value})}")
        await asyncio.sleep(0.05)  # between two polls


async def metrics_lint(context):
    url = f"http://127.0.0.1:{context.proxy.admin_port}/metrics"
    code, stdout, stderr = await context.world.processes.run([context.world.here / "metrics", url])
    check(code == 0, (stdout.decode() + stderr).strip())


async def stops(context):
    code = await context.proxy.stop()
    equal(code, 0, "exit code after the signal to stop")
    check(not (panics := context.proxy.panics()), f"it panicked: {panics[:3]}")


def choose(options, groups):
    """The groups with only the cases that the options name."""
    for group in groups:
        chosen = (case for case in group.cases if any(glob_in(case.name, part) for part in options.only or [""]))
        if cases := tuple(chosen):
            yield dataclasses.replace(group, cases=cases)


async def run_all(options, here, place, log_dir, python, node_modules, groups):
    """Runs the groups one after the other; whether all is well."""
    async with Processes(log_dir) as processes:
        world = World(options, here, place, processes, python, node_modules)
        report = Report(world.proxy_class.expected_failures)
        for group in groups:
            await run_group(world, group, report)
        return report.finish()


def glob_in(name, pattern):
    return fnmatch.fnmatch(name, f"*{pattern}*")
