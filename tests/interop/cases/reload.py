"""Reload: the config file changes under open tunnels."""

import asyncio
import dataclasses
import signal
import ssl

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


async def mounted(context):
    """As Kubernetes mounts them, config and certificate are swapped by one symlink; both come into force, open tunnels
    live on, and the swap after that is seen as well."""
    first, second, _ = context.world.pki.leaves
    proxy = proxies.MountedHeadpin(context.world, "pin", context.upstream.port, first)
    context = dataclasses.replace(context, proxy=proxy)
    try:
        await proxy.start()
        tunnel = await Tunnel.open(context, "python", "echo")
        await until(context, "heads_held", 2)
        for policy, leaf in (("copy", second), ("pin", first)):
            proxy.policy, proxy.leaf = policy, leaf
            proxy.write_config()
            await until(context, "head_policy", 1, policy=policy)
            equal(await served(proxy), ssl.PEM_cert_to_DER_cert(leaf.cert.read_text()), "the certificate served")
            await until(context, "heads_held", 0)
            await echoes(tunnel, 1000)
        await tunnel.close()
        equal(await proxy.stop(), 0, "exit code")
    finally:
        if proxy.process:
            proxy.process.kill()


async def served(proxy):
    """The certificate that a new connection is shown, as DER."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=tls)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate


def groups():
    cases = (
        Case("reload/flip", flip),
        Case("reload/fault", fault),
        Case("reload/hangup", hangup),
        Case("reload/mounted", mounted),
    )
    yield Group("reload", "pin", "node", cases)
