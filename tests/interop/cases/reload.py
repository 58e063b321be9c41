"""Reload: the config file changes under open tunnels."""

import asyncio
import signal

from cases.websocket import LANGUAGES, Tunnel, echoes
from lib import proxies
from lib.suite import Case, Group, equal


async def until(context, metric, wanted, **labels):
    """Polls a metric until it has the value, or the case's deadline passes."""
    while proxies.sample(await context.proxy.metrics(), f"headpin_{metric}", **labels) != wanted:
        await asyncio.sleep(0.05)  # between two polls


async def flip(context):
    """From pin to copy and back: the tunnels stay, and the heads they held go."""
    tunnels = [await Tunnel.open(context, client, "echo") for client in LANGUAGES]
    await until(context, "heads_held", 2 * len(tunnels))
    for policy, other in (("copy", "pin"), ("pin", "copy")):
        context.proxy.policy = policy
        context.proxy.write_config()
        await until(context, "head_policy", 1, policy=policy)
        await until(context, "head_policy", 0, policy=other)
        await until(context, "heads_held", 0)
        for tunnel in tunnels:
            await echoes(tunnel, 1000)
    for tunnel in tunnels:
        await tunnel.close()


async def fault(context):
    """A faulty file changes nothing."""
    tunnel = await Tunnel.open(context, "python", "echo")
    good = context.proxy.path.read_text()
    applied = proxies.sample(await context.proxy.metrics(), "headpin_config_reloads_total", result="applied")
    context.proxy.path.write_text(good.replace("head_policy", "head_polity"))
    await until(context, "config_reloads_total", 1, result="refused")
    await until(context, "head_policy", 1, policy=context.proxy.policy)
    await echoes(tunnel, 1000)
    context.proxy.path.write_text(good)
    await tunnel.close()
    now = proxies.sample(await context.proxy.metrics(), "headpin_config_reloads_total", result="applied")
    equal(now, applied, "reloads applied")


async def hangup(context):
    """SIGHUP reloads also when nothing has changed, and tunnels live on."""
    tunnel = await Tunnel.open(context, "python", "echo")
    applied = proxies.sample(await context.proxy.metrics(), "headpin_config_reloads_total", result="applied")
    context.proxy.process.signal(signal.SIGHUP)
    await until(context, "config_reloads_total", applied + 1, result="applied")
    await echoes(tunnel, 1000)
    await tunnel.close()


def groups():
    cases = (Case("reload/flip", flip), Case("reload/fault", fault), Case("reload/hangup", hangup))
    yield Group("reload", "pin", "node", cases)
