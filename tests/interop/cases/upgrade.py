"""Upgrade: the process is replaced, and programs at both ends of a tunnel do not notice."""

import os
import re
import signal

from cases.websocket import LANGUAGES, Tunnel, echoes
from lib.suite import Case, Group, check, equal

UPGRADES = 3


async def headpin_upgrade(context):
    """The process that serves from then on."""
    argv = [context.world.headpin, "upgrade", "--config", context.proxy.path]
    code, stdout, stderr = await context.world.processes.run(argv)
    equal(code, 0, f"exit code of headpin upgrade, which said {stderr!r}")
    said = stdout.decode()
    found = re.match(r"process (\d+) .* has taken over (\d+) tunnels .*left behind: none", said)
    check(found, f"it said {said!r}")
    return int(found.group(1)), int(found.group(2))


async def nobody_notices(context):
    """Messages of all sizes, pings and a message that is under way, across several upgrades in a row."""
    tunnels = [await Tunnel.open(context, client, "echo") for client in LANGUAGES]
    pid = None
    try:
        for _ in range(UPGRADES):
            for tunnel in tunnels:
                await echoes(tunnel, 70_000)
                # Its echo comes through the next process.
                tunnel.client.do("binary", size=1 << 20)
            sent = [await tunnel.client.expect("sending") for tunnel in tunnels]
            pid, went = await headpin_upgrade(context)
            equal(went, len(tunnels), "tunnels that went")
            for tunnel, each in zip(tunnels, sent):
                await tunnel.upstream.expect("message", kind="binary", size=1 << 20, sha256=each["sha256"])
                await tunnel.client.expect("message", kind="binary", size=1 << 20, sha256=each["sha256"])
        # New ones come to the last process, and all end as they would have.
        tunnels += [await Tunnel.open(context, client, "echo") for client in LANGUAGES]
        for tunnel in tunnels:
            await echoes(tunnel, 1)
            await tunnel.close()
    finally:
        if pid:
            os.kill(pid, signal.SIGTERM)
    # Its output is the successors' as well, so it ends with the last of them.
    equal(await context.proxy.process.wait(), 0, "exit code of the first process")
    check(not (panics := context.proxy.panics()), f"it panicked: {panics[:3]}")


def groups(policy):
    for upstream in LANGUAGES:
        case = Case(f"{policy}/upgrade/{upstream} upstream", nobody_notices)
        settings = {"server": {"handover": f"/tmp/headpin-interop-{os.getpid()}-{policy}-{upstream}.sock"}}
        yield Group(f"{policy}/upgrade/{upstream} upstream", policy, upstream, (case,), settings, checked_after=False)
