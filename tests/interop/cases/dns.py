"""Names of servers: a real name server, dnsmasq, changes its answers, and the proxy follows without a reload."""

import collections

from cases.websocket import LANGUAGES, echoes
from lib.ask import ask, servers_of
from lib.dnsmasq import DOMAIN, dnsmasq
from lib.fleet import fleet
from lib.origins import Nginx, all_of, free_port
from lib.routed import routed, until
from lib.suite import Case, Group, check, equal

APP = f"app.{DOMAIN}"
LATER = f"later.{DOMAIN}"
ADDRESSES = ("127.0.0.2", "127.0.0.3")
SERVICE_RESTART = 1012


class TwoAddresses(Nginx):
    """nginx on the same port of two addresses; each tells its address as its name."""

    def __init__(self, world):
        super().__init__(world, ADDRESSES)
        port = free_port(ADDRESSES[0])
        self.ports = dict.fromkeys(ADDRESSES, port)
        self.listen = "{folder}"
        self.port = port

    def config(self):
        text = super().config()
        for address in ADDRESSES:
            text = text.replace(f"listen {self.folder(address)};", f"listen {address}:{self.port};")
        return text

    async def takes_connections(self, name):
        self.address = name
        return await super().takes_connections(name)


def config(url, *keys):
    lines = "\n".join(keys)
    return f'[[routes]]\nupstream = "app"\n[upstreams.app]\nservers = ["{url}"]\n{lines}\n'


async def answering(context, *wanted):
    """Waits until these servers answer, and no others."""

    async def read():
        return sorted(set(await servers_of(context, 12)))

    await until(read, lambda got: got == sorted(wanted), "servers that answer")


async def addresses_told(context, group="app"):
    servers = await context.proxy.servers(group)
    return sorted(server["address"].rsplit(":", 1)[0] for server in servers if server["address"])


async def two_addresses(context):
    """Both addresses of a name are used, each as a server of its own."""
    async with dnsmasq(context, {APP: ADDRESSES}) as names, TwoAddresses(context.world).running() as origin:
        url = f"http://{APP}:{origin.port}"
        async with routed(context, config(url), launcher=names.launcher()) as context:
            await until(lambda: addresses_told(context), lambda got: got == list(ADDRESSES), "addresses told")
            counts = collections.Counter(await servers_of(context, 60))
            all_of(counts, ADDRESSES)
            servers = await context.proxy.servers("app")
            equal({server["server"] for server in servers}, {url}, "server of both addresses")
            equal({server["state"] for server in servers}, {"up"}, "states")
            equal((await context.proxy.drain("app", url, True))["servers"], 2, "addresses that were drained")
            equal((await context.proxy.drain("app", url, False))["servers"], 2, "addresses that were taken back")
            equal((await ask(context, "/", host="a.example")).json()["host"], "a.example", "Host at the server")


async def changing(context):
    """A changed answer moves new requests without a reload."""
    first, second = ADDRESSES
    async with dnsmasq(context, {APP: [first]}) as names, TwoAddresses(context.world).running() as origin:
        async with routed(context, config(f"http://{APP}:{origin.port}"), launcher=names.launcher()) as context:
            await answering(context, first)
            await names.set({APP: [second]})
            await answering(context, second)
            await names.set({APP: ADDRESSES})
            await answering(context, *ADDRESSES)
            await names.set({APP: [first]})
            await answering(context, first)
            equal(await addresses_told(context), [first], "addresses told")
            # It is asked again as its time to live says, not with each request.
            asked = names.asked(APP)
            await servers_of(context, 500)
            check(names.asked(APP) - asked < 20, f"{names.asked(APP) - asked} questions for 500 requests")


async def failing(context):
    """A name server that does not answer, or knows the name no more, takes no address away at once."""
    first, _ = ADDRESSES
    async with dnsmasq(context, {APP: [first]}) as names, TwoAddresses(context.world).running() as origin:
        async with routed(context, config(f"http://{APP}:{origin.port}"), launcher=names.launcher()) as context:
            await answering(context, first)
            names.process.kill()
            await names.process.wait()
            for _ in range(10):  # each takes its time, and all together longer than the answer was to live
                equal(set(await servers_of(context, 200)), {first}, "servers without a name server")
            names.reads = 0
            names.process = None
            await names.start({APP: [ADDRESSES[1]]})
            await answering(context, ADDRESSES[1])


async def tunnels(context, close):
    """Tunnels to an address that has gone from the answer stay, or hear Close 1012 where the config says so."""
    first, second = ADDRESSES
    keys = ("close_tunnels_of_gone_servers = true",) if close else ()
    port = str(free_port(first))
    async with (
        dnsmasq(context, {APP: [first]}) as names,
        fleet(context, {first: "node"}, INTEROP_ADDRESS=first, INTEROP_PORT=port) as ships,
        fleet(context, {second: "node"}, INTEROP_ADDRESS=second, INTEROP_PORT=port) as others,
    ):
        ships.peers.update(others.peers)
        async with routed(context, config(f"http://{APP}:{port}", *keys), launcher=names.launcher()) as context:
            await until(lambda: addresses_told(context), lambda got: got == [first], "addresses told")
            old = [await ships.open(context, client) for client in LANGUAGES for _ in range(2)]
            equal({tunnel.server for tunnel in old}, {first}, "servers of the tunnels")
            await names.set({APP: [second]})
            await until(lambda: addresses_told(context), lambda got: got == [second], "addresses told")
            new = [await ships.open(context, client) for client in LANGUAGES]
            equal({tunnel.server for tunnel in new}, {second}, "servers of new tunnels")
            for tunnel in old:
                if close:
                    await tunnel.client.expect_close(SERVICE_RESTART)
                    await tunnel.upstream.expect_close(SERVICE_RESTART)
                    tunnel.finish()
                else:
                    await echoes(tunnel, 10_000)
                    await tunnel.close()
            for tunnel in new:
                await echoes(tunnel, 10_000)
                await tunnel.close()


async def unresolved(context):
    """A name that nobody knows at the start is a warning and a server that is not there yet."""
    first, second = ADDRESSES
    async with dnsmasq(context, {APP: [first]}) as names, TwoAddresses(context.world).running() as origin:
        later = f"http://{LATER}:{origin.port}"
        text = config(f"http://{APP}:{origin.port}")
        text += f'[[routes]]\npath = "/later"\nupstream = "later"\n[upstreams.later]\nservers = ["{later}"]\n'
        async with routed(context, text, launcher=names.launcher()) as context:

            async def warned():
                return [event for event in context.proxy.warnings() if LATER in str(event)]

            await until(warned, bool, "a warning that names it")
            equal((await context.proxy.server("later", later))["state"], "unresolved", "state")
            await answering(context, first)
            status = (await ask(context, "/later")).status
            check(status in (502, 503), f"status {status} of a request to a server without an address")
            await names.set({APP: [first], LATER: [second]})
            await context.proxy.until_state("later", later, "up", seconds=60)
            equal((await ask(context, "/later")).json()["server"], second, "server that answers")


CASES = {
    "two addresses": two_addresses,
    "changing": changing,
    "failing": failing,
    "tunnels stay": lambda context: tunnels(context, close=False),
    "tunnels closed": lambda context: tunnels(context, close=True),
    "unresolved at the start": unresolved,
}


def groups():
    yield Group("dns", None, None, tuple(Case(f"dns/{name}", run, seconds=90) for name, run in CASES.items()))
