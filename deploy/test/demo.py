"""The compose demo as a test sees it: a copy of its files under a project name and on ports of its own."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "prometheus"))

from programs import Failed, Prometheus, eventually, http  # noqa: E402, F401

# Debian has no Grafana, and no image can be counted on.
LEFT_OUT = "grafana"
PORTS = ("HEADPIN_PORT", "HEADPIN_ADMIN_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "BALANCER_PORT")


def run(*argv, check=True, **options):
    """What a command printed, both streams; `Failed` with that if it failed."""
    done = subprocess.run(
        [*map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **options
    )
    if check and done.returncode:
        raise Failed(f"{' '.join(map(str, argv))} ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout if check else (done.returncode, done.stdout)


def compose_command():
    """Compose v2 if it is there, else docker-compose."""
    v2 = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    return ["docker", "compose"] if v2 else ["docker-compose"]


class Demo:
    """One that may be up; whatever it leaves is named after its project."""

    def __init__(self, place, image):
        self.project = f"headpin-test-{os.getpid()}"
        self.image = image
        deploy = place / "deploy"
        for part in ("compose", "prometheus", "grafana"):
            shutil.copytree(TOP / "deploy" / part, deploy / part)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        self.folder = deploy / "compose"
        self.config = self.folder / "headpin" / "headpin.toml"
        self.environment = os.environ | {"HEADPIN_IMAGE": image, "COMPOSE_PROJECT_NAME": self.project}
        self.environment |= dict.fromkeys(PORTS, "")
        self.files = ["docker-compose.yml"]
        self.command = compose_command()
        # Targets of the Makefile that were used.
        self.made = set()

    def compose(self, *arguments, environment=None, **options):
        files = [part for name in self.files for part in ("--file", name)]
        environment = self.environment | (environment or {})
        return run(*self.command, *files, *arguments, cwd=self.folder, env=environment, **options)

    def make(self, target, *settings, environment=None, **options):
        self.made.add(target)
        environment = self.environment | (environment or {})
        argv = ("make", "--no-print-directory", target, *settings)
        return run(*argv, cwd=self.folder, env=environment, **options)

    def up(self, target="up", **options):
        """`make up` or `make scale`, with the image as it is and all services that can be had."""
        services = [name for name in self.compose("config", "--services").split() if name != LEFT_OUT]
        return self.make(target, f"UP=--detach {' '.join(services)}", **options)

    def try_up(self, **environment):
        """Exit code and output of a `make up` that may fail."""
        return self.up(environment=environment, check=False)

    def down(self):
        self.compose("down", "--volumes", "--remove-orphans")

    def container(self, service):
        return self.compose("ps", "--all", "--quiet", service).strip()

    def inspect(self, service, form):
        return run("docker", "inspect", "--format", form, self.container(service)).strip()

    def address(self, service, port):
        """Where a published port is, as host:port."""
        return self.compose("port", service, str(port)).strip()

    def inside(self, service):
        """The container's own address, for what is not published."""
        return self.inspect(service, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def admin(self, path, service="headpin"):
        """Asks a proxy's admin endpoint."""
        status, text = http(f"http://{self.inside(service)}:9900{path}")
        if status != 200:
            raise Failed(f"{service}: {path} is answered {status}: {text}")
        return text

    def series(self, name, service="headpin"):
        """A sample of one proxy, asked directly."""
        lines = self.admin("/metrics", service).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def policy(self, service="headpin"):
        return json.loads(self.admin("/api/head_policy", service))["head_policy"]

    def prometheus(self):
        return Prometheus(self.address("prometheus", 9090).rsplit(":", 1)[1])

    def get(self, ca, service="headpin"):
        """`GET /` through a proxy or the balancer, checked against the demo's own authority."""
        port = self.address(service, 8443).rsplit(":", 1)[1]
        return run("curl", "-fsS", "--max-time", 5, "--noproxy", "*", "--cacert", ca, f"https://localhost:{port}/")

    def crash(self, service):
        """Ends a service's process as a crash does: the engine was not asked for it, and starts it again."""
        before = self.inspect(service, "{{.State.Pid}} {{.State.StartedAt}}")
        os.kill(int(before.split()[0]), 9)
        eventually(
            f"{service} is started again",
            lambda: self.inspect(service, "{{.State.Running}} {{.State.StartedAt}}") != f"true {before.split()[1]}"
            and self.inspect(service, "{{.State.Running}}") == "true",
            60,
        )

    def leftovers(self):
        """What carries the project's name."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
        return [line for kind in kinds for line in run("docker", *kind, "--quiet", "--filter", label).splitlines()]

    @contextlib.contextmanager
    def cleaned_up(self):
        """Takes everything down at the end; shows the log if something failed."""
        try:
            yield self
        except BaseException:
            with contextlib.suppress(Failed):
                print("--- the demo's log", self.compose("logs", "--no-color", "--tail", "12"), sep="\n", flush=True)
            raise
        finally:
            self.down()
