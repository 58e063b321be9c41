"""The program's other commands, and `serve` without a config."""

import asyncio
import re
import signal
import socket
import ssl
import stat

from lib import proxies, raw
from lib.suite import Case, Group, Skipped, check, equal

USAGE = 64
"""Exit code for wrong usage or config."""

DEFAULT_PORTS = (8443, 9900)
"""Where `serve` without a config listens: the proxy and the admin endpoint."""


async def headpin(context, *argv):
    code, stdout, stderr = await context.world.processes.run([context.world.headpin, *argv])
    return code, stdout.decode() + stderr


async def version(context):
    code, said = await headpin(context, "--version")
    equal(code, 0, "exit code")
    check(re.match(r"headpin \d+\.\d+\.\d+", said), f"said {said!r}")


async def usage(context):
    code, _ = await headpin(context, "nonsense")
    equal(code, USAGE, "exit code for an unknown command")
    code, said = await headpin(context, "serve", "--config", context.world.place / "nowhere.toml")
    equal(code, USAGE, "exit code for a config that is not there")
    check("nowhere.toml" in said, f"the file is not named: {said!r}")


async def certs(context):
    out = context.world.place / "certs"
    code, said = await headpin(context, "certs", "--out", out)
    equal(code, 0, f"exit code; it said {said!r}")
    ca, leaf = out / "ca.pem", out / "localhost.pem"
    for key in ("ca-key.pem", "localhost-key.pem"):
        mode = stat.S_IMODE((out / key).stat().st_mode)
        equal(mode & 0o077, 0, f"what others may do with {key}")
    for option, name in (("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1")):
        argv = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, option, name, leaf]
        code, stdout, stderr = await context.world.processes.run(argv)
        check(code == 0, f"not good for {name}: {stdout.decode()}{stderr}")


async def check_good(context):
    path = context.world.place / "good.toml"
    path.write_text(proxies.Headpin(context.world, "copy", 9, {}).config())
    code, said = await headpin(context, "check", "--config", path)
    equal(code, 0, f"exit code; it said {said!r}")


async def check_bad(context):
    path = context.world.place / "bad.toml"
    good = proxies.Headpin(context.world, "copy", 9, {}).config()
    path.write_text(good.replace("copy", "keep") + '\n[tunnel]\nidle_timout = "1h"\n')
    code, said = await headpin(context, "check", "--config", path)
    equal(code, USAGE, "exit code")
    for word in ("bad.toml", "head_policy", "keep", "idle_timout"):
        check(word in said, f"{word} is not named: {said!r}")


async def serve_alone(context):
    for port in DEFAULT_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Skipped(f"port {port} is in use") from None
    place = context.world.place / "alone"
    place.mkdir()
    process = await context.world.processes.start("headpin-alone", [context.world.headpin, "serve"], cwd=place)
    try:
        await echo(process)
        metrics = await asyncio.to_thread(proxies.scrape, f"http://127.0.0.1:{DEFAULT_PORTS[1]}/metrics")
        check("headpin_build_info" in metrics, "no metrics")
        equal(list(place.iterdir()), [], "files it left in its folder")
        process.signal(signal.SIGTERM)
        equal(await process.wait(), 0, "exit code")
    finally:
        process.kill()


async def echo(process):
    """A message to the embedded upstream and back."""
    trust_nobody = ssl.create_default_context()
    trust_nobody.check_hostname = False
    trust_nobody.verify_mode = ssl.CERT_NONE
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", DEFAULT_PORTS[0], ssl=trust_nobody)
            break
        except ConnectionRefusedError:
            check(process.exit_code is None, f"it ended with {process.exit_code}: {process.lines[-3:]}")
            await asyncio.sleep(0.05)  # between two polls
    writer.write(raw.upgrade_request("/") + raw.frame(raw.TEXT, "hello", masked=True))
    equal((await raw.read_head(reader)).status, 101, "status")
    equal(await raw.read_frame(reader), (raw.TEXT, b"hello"), "echo")
    writer.transport.abort()


CASES = {
    "version": version,
    "usage": usage,
    "certs": certs,
    "check a good config": check_good,
    "check a bad config": check_bad,
    "serve without a config": serve_alone,
}


def groups():
    yield Group("commands", None, None, tuple(Case(f"commands/{name}", run) for name, run in CASES.items()))
