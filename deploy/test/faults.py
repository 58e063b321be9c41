"""What is wrong is said, and the exit code is not 0: the image and the demo with bad input."""

import contextlib
import os
import socket

from demo import Failed, run

CERTIFICATE = "/var/lib/headpin/certs/localhost.pem"
USER = "headpin runs as user 65532"


def ended(what, wanted, code, result):
    """Says how a command that must fail did; `result` is its exit code and output."""
    got, text = result
    lacking = [part for part in wanted if part not in text]
    if got != code or lacking:
        raise Failed(f"{what}: ended with {got}, not {code}, or lacks {lacking}: {text}")
    said = next(line for line in text.splitlines() if wanted[0] in line)
    return f"{what}: exit code {code}, {said.strip()!r}"


def says(what, wanted, code, *argv):
    return ended(what, wanted, code, run(*argv, check=False))


@contextlib.contextmanager
def mode(path, bits):
    """A file or folder with another mode for a while."""
    before = path.stat().st_mode & 0o7777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def of_image(image, demo, place):
    """The container with what an operator may get wrong; one text each."""
    serve = ("docker", "run", "--rm", "--read-only", "--network", "none")
    config = ("--volume", f"{demo.config.parent}:/etc/headpin:ro")
    wanted = ["cannot read /etc/headpin/headpin.toml", "there is no folder /etc/headpin", "has to be mounted"]
    yield says("no config", wanted, 64, *serve, image)
    empty = place / "empty"
    empty.mkdir(mode=0o755)
    wanted = ["cannot read /etc/headpin/headpin.toml", "the folder /etc/headpin is empty"]
    yield says("an empty config mount", wanted, 64, *serve, "--volume", f"{empty}:/etc/headpin:ro", image)

    missing = place / "not-there.toml"
    mount = ("--volume", f"{missing}:/etc/headpin/headpin.toml:ro")
    yield says("a config mount that is a folder", ["it is a folder, and a file is wanted"], 64, *serve, *mount, image)
    os.rmdir(missing)

    for what, path, bits in (("file", demo.config, 0o600), ("folder", demo.config.parent, 0o700)):
        with mode(path, bits):
            wanted = ["cannot read /etc/headpin/headpin.toml", f"mode {bits:04o}", USER, "let that user read it"]
            yield says(f"a config {what} of mode {bits:o}", wanted, 64, *serve, *config, image)

    # As when somebody made them on the host: the key is its owner's alone.
    owned = place / "state"
    owned.mkdir(mode=0o755)
    state = ("--volume", f"{owned}:/var/lib/headpin")
    run("docker", "run", "--rm", "--network", "none", "--user", "0:0", *state, image, "certs")
    wanted = ["localhost-key.pem", "belongs to user 0", "mode 0600", USER]
    yield says("a key of another user", wanted, 64, *serve, *config, *state, image)
    with mode(owned / "certs", 0o700):
        wanted = [CERTIFICATE, "/var/lib/headpin/certs belongs to user 0", "mode 0700", USER]
        yield says("certificates in a folder of another user", wanted, 64, *serve, *config, *state, image)
    wanted = ["cannot be kept", "localhost-key.pem", "mode 0600", USER]
    yield says("certs --keep with such a key", wanted, 1, *serve, *state, image, "certs", "--keep")
    wanted = ["cannot make the folder", "belongs to user 0", USER, "let that user write there"]
    yield says(
        "certs in a folder of another user", wanted, 1, *serve, *state, image, "certs", "--out", "/var/lib/headpin/new"
    )
    wanted = ["cannot make the folder", "Read-only file system", "name a folder of a mounted volume"]
    yield says("certs where nothing can be written", wanted, 1, *serve, image, "certs", "--out", "/etc/certs")

    same = place / "same-port"
    same.mkdir(mode=0o755)
    (same / "headpin.toml").write_text(demo.config.read_text().replace("0.0.0.0:9900", "0.0.0.0:8443"))
    run("docker", "run", "--rm", "--network", "none", "--user", "0:0", *state, image, "certs", "--force")
    run("chown", "-R", "65532:65532", owned)
    wanted = ["cannot listen on 0.0.0.0:8443", "admin.listen", "Address already in use"]
    yield says(
        "a port taken in the container", wanted, 1, *serve, "--volume", f"{same}:/etc/headpin:ro", *state, image
    )


def of_demo(demo):
    """The demo's own service with it; one text each."""
    alone = ("run", "--rm", "--no-deps", "headpin")
    wanted = [f'tls.certificates[0].cert = "{CERTIFICATE}"', "No such file", "`headpin certs --out"]
    yield ended("the demo without certificates", wanted, 64, demo.compose(*alone, check=False))

    folder, aside = demo.config.parent, demo.config.parent.with_name("aside")
    folder.rename(aside)
    wanted = ["cannot read /etc/headpin/headpin.toml", "the folder /etc/headpin is empty"]
    yield ended("the demo without its config", wanted, 64, demo.compose(*alone, check=False))
    folder.rmdir()
    aside.rename(folder)
    demo.down()

    # As a person meets it.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for variable in ("HEADPIN_PORT", "HEADPIN_ADMIN_PORT", "PROMETHEUS_PORT"):
            code, text = demo.try_up(**{variable: port})
            demo.down()
            if "in use" not in text and "already allocated" not in text:
                raise Failed(f"{variable} is taken: {text}")
            yield ended(f"{variable} is taken", [f":{port}", f"{variable}=", "make up"], 2, (code, text))
