"""What is wrong is said, and the exit code is not 0: the image and the demo with bad input."""

import os
import socket

from demo import Failed, run

CERTIFICATE = "/var/lib/headpin/certs/localhost.pem"


def says(what, wanted, code, *argv):
    """Runs a command that must fail; gives its last line."""
    ended, text = run(*argv, check=False)
    if ended != code or any(part not in text for part in wanted):
        raise Failed(f"{what}: ended with {ended}, not {code}, or lacks one of {wanted}: {text}")
    return f"{what}: exit code {code}, {text.strip().splitlines()[-1]!r}"


def of_image(image, demo, place):
    """The container with what an operator may get wrong; one text each."""
    serve = ("docker", "run", "--rm", "--read-only", "--network", "none")
    config = ("--volume", f"{demo.config.parent}:/etc/headpin:ro")
    yield says("no config", ["cannot read /etc/headpin/headpin.toml", "No such file"], 64, *serve, image)
    yield says("no certificates", ["tls.certificates[0].cert", CERTIFICATE, "No such file"], 64, *serve, *config, image)

    missing = place / "not-there.toml"
    mount = ("--volume", f"{missing}:/etc/headpin/headpin.toml:ro")
    yield says("a config mount that is a folder", ["it is a folder, and a file is wanted"], 64, *serve, *mount, image)
    os.rmdir(missing)

    # As when somebody made them on the host: the key is its owner's alone.
    owned = place / "state"
    owned.mkdir(mode=0o755)
    state = ("--volume", f"{owned}:/var/lib/headpin")
    run("docker", "run", "--rm", "--network", "none", "--user", "0:0", *state, image, "certs")
    wanted = ["localhost-key.pem", "belongs to user 0", "mode 0600", "headpin runs as user 65532"]
    yield says("a key of another user", wanted, 64, *serve, *config, *state, image)
    wanted = ["cannot be kept", "localhost-key.pem", "Permission denied"]
    yield says("certs --keep with such a key", wanted, 1, *serve, *state, image, "certs", "--keep")
    wanted = ["cannot make the folder", "Read-only file system"]
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
    """The demo on a port that somebody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, text = demo.compose("up", "--detach", "headpin", environment={"HEADPIN_PORT": port}, check=False)
        demo.down()
    if code == 0 or port not in text or "in use" not in text and "already allocated" not in text:
        raise Failed(f"a port of the host that is taken: ended with {code}: {text}")
    return f"a port of the host that is taken: exit code {code}, names the port"
