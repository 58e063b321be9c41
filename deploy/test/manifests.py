"""The checks of deploy/test/kubernetes: see there."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
import urllib.error
import urllib.request

import jsonschema
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
MANIFESTS = TOP / "deploy" / "kubernetes"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")).resolve()

OLDEST_KUBERNETES = "1.30"
"""The first with the sleep of preStop by default, which README.md names."""

NOT_RESOURCES = {"prometheus-adapter-values.yaml"}
"""Files for other tools than kustomize."""

START_SECONDS = 30
STOP_SECONDS = 30


class Failure(Exception):
    """Something is not as it must be."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: {got!r}, not {wanted!r}")


# === what is looked at ===


class Rendering:
    """What one kustomization makes."""

    def __init__(self, name):
        self.name = name
        self.folder = MANIFESTS / name
        done = subprocess.run(["kubectl", "kustomize", self.folder], capture_output=True, text=True)
        check(done.returncode == 0, f"kubectl kustomize {name}: {done.stderr.strip()}")
        check("deprecated" not in done.stderr, f"kubectl kustomize {name}: {done.stderr.strip()}")
        self.resources = list(yaml.safe_load_all(done.stdout))

    def all(self, kind):
        return [resource for resource in self.resources if resource["kind"] == kind]

    def one(self, kind, name="headpin"):
        found = [resource for resource in self.all(kind) if resource["metadata"]["name"] == name]
        equal(len(found), 1, f"how many {kind} {name} there are in {self.name}")
        return found[0]

    @property
    def pod(self):
        return self.one("Deployment")["spec"]["template"]

    @property
    def container(self):
        (container,) = self.pod["spec"]["containers"]
        return container

    @property
    def ports(self):
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    @property
    def config(self):
        """The config's text."""
        return self.one("ConfigMap")["data"]["headpin.toml"]

    def mount(self, volume):
        (mount,) = (mount for mount in self.container["volumeMounts"] if mount["name"] == volume)
        return pathlib.PurePosixPath(mount["mountPath"])

    def volume(self, name):
        (volume,) = (volume for volume in self.pod["spec"]["volumes"] if volume["name"] == name)
        return volume


def dockerfile():
    return (TOP / "Dockerfile").read_text()


def last_instruction(name):
    return re.findall(rf"^{name} (.*)$", dockerfile(), re.MULTILINE)[-1]


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def seconds(text):
    """Seconds of a duration as `headpin check` prints it, such as "1m30s"."""
    units = {"h": 3600, "m": 60, "s": 1}
    check(re.fullmatch(r"(\d+[hms])+", text), f"no whole seconds: {text}")
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms])", text))


# === the program ===


class Program:
    """The real program on the ConfigMap's config, in a folder that has the Secret's files."""

    def __init__(self, path, place):
        self.path = path
        self.place = place
        certs = place / "certs"
        self.run("certs", "--out", certs)
        for name, made in (("tls.crt", "localhost.pem"), ("tls.key", "localhost-key.pem")):
            (certs / made).rename(place / name)

    def run(self, *argv):
        done = subprocess.run([self.path, *argv], capture_output=True, text=True)
        check(done.returncode == 0, f"headpin {argv[0]} says {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def effective(self, rendering, edit=str):
        """The config with every default filled in, and the file it was read from."""
        text = rendering.config.replace(str(rendering.mount("tls")), str(self.place))
        check(str(self.place) in text, f"the config names no file in {rendering.mount('tls')}")
        file = self.place / "headpin.toml"
        file.write_text(edit(text))
        return tomllib.loads(self.run("check", "--config", file)), file

    @contextlib.contextmanager
    def serving(self, rendering):
        """Runs it on free ports of loopback; gives its admin address, and afterwards sees it end well."""
        on_loopback = lambda text: re.sub(r'"0\.0\.0\.0:\d+"', '"127.0.0.1:0"', text)  # noqa: E731
        _, file = self.effective(rendering, on_loopback)
        process = subprocess.Popen(
            [self.path, "serve", "--config", file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        killer = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        try:
            signal.alarm(START_SECONDS)
            address = next(address for line in process.stdout if (address := admin_address(line)))
            yield address
            signal.alarm(STOP_SECONDS)
            ask(address, "/api/drain", method="POST")
            rest = process.stdout.read()
            equal(process.wait(), 0, f"headpin's exit code after a drain; it said {rest[-500:]!r}")
        except StopIteration:
            raise Failure(f"headpin did not start, exit code {process.wait()}") from None
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, killer)
            process.kill()
            process.wait()


def admin_address(line):
    with contextlib.suppress(ValueError):
        fields = json.loads(line).get("fields", {})
        if fields.get("message") == "listening" and fields.get("role") == "admin":
            return fields["address"]
    return None


def ask(address, path, method="GET"):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(f"http://{address}{path}", method=method), timeout=10) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        raise Failure(f"{path} answers {error.code}") from None


# === the checks: of a rendering, some with the program ===


def every_file_is_used(rendering, _):
    kustomization = yaml.safe_load((rendering.folder / "kustomization.yaml").read_text())
    used = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))}
    there = {file.name for file in rendering.folder.glob("*.yaml")} - {"kustomization.yaml"} - NOT_RESOURCES
    equal(there - used, set(), "files that the kustomization does not name")


def schemas(rendering, _):
    custom = json.loads((HERE / "crds.json").read_text())
    for resource in rendering.resources:
        name = f"{resource['kind']} {resource['metadata']['name']}"
        own = custom.get(f"{resource['apiVersion']} {resource['kind']}")
        try:
            if own:
                jsonschema.validate(resource, own)
                continue
            for version in (OLDEST_KUBERNETES, kubernetes_validate.latest_version()):
                kubernetes_validate.validate(resource, version, strict=True)
        except jsonschema.ValidationError as error:
            raise Failure(f"{name}: {'.'.join(map(str, error.path))}: {error.message}") from None
        except kubernetes_validate.SchemaNotFoundError:
            raise Failure(f"{name}: neither the API's schemas nor crds.json has one") from None


def namespaces(rendering, _):
    namespace = rendering.one("Namespace")["metadata"]["name"]
    for resource in rendering.resources:
        if resource["kind"] != "Namespace":
            equal(resource["metadata"].get("namespace"), namespace, f"namespace of {resource['kind']}")


def selectors(rendering, _):
    labels = rendering.pod["metadata"]["labels"]
    deployment = rendering.one("Deployment")["spec"]["selector"]["matchLabels"]
    chosen = {
        "the Deployment": deployment,
        "the PodDisruptionBudget": rendering.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        "the NetworkPolicy": rendering.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        **{f"Service {it['metadata']['name']}": it["spec"]["selector"] for it in rendering.all("Service")},
    }
    for spread in rendering.pod["spec"]["topologySpreadConstraints"]:
        chosen[f"spread over {spread['topologyKey']}"] = spread["labelSelector"]["matchLabels"]
    for who, selector in chosen.items():
        check(selects(selector, labels), f"{who} selects {selector}, and the pods are {labels}")
    scaled = rendering.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    equal((scaled["kind"], scaled["name"]), ("Deployment", "headpin"), "what the autoscaler scales")
    check("replicas" not in rendering.one("Deployment")["spec"], "replicas are the autoscaler's, not the Deployment's")


def ports(rendering, program):
    config, _ = program.effective(rendering)
    for name, section in (("https", "server"), ("admin", "admin")):
        listen = config[section]["listen"]
        equal(listen, f"0.0.0.0:{rendering.ports[name]}", f"{section}.listen, for the container's port {name}")
    exposed = {int(port) for port in last_instruction("EXPOSE").split()}
    equal(set(rendering.ports.values()), exposed, "the container's ports, and those that the Dockerfile exposes")
    named = [port["targetPort"] for service in rendering.all("Service") for port in service["spec"]["ports"]]
    named += [port["port"] for rule in rendering.one("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    named += [rendering.container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")]
    equal(set(named) - rendering.ports.keys(), set(), "ports that the container does not have")
    sysctls = {it["name"]: it["value"] for it in rendering.pod["spec"]["securityContext"]["sysctls"]}
    low, high = map(int, sysctls["net.ipv4.ip_local_port_range"].split())
    taken = [port for port in rendering.ports.values() if low <= port <= high]
    equal(taken, [], "ports listened on that an upstream connection could take")


def files(rendering, program):
    equal(rendering.volume("config")["configMap"]["name"], rendering.one("ConfigMap")["metadata"]["name"], "ConfigMap")
    command = json.loads(last_instruction("CMD"))
    equal(command[-1], str(rendering.mount("config") / "headpin.toml"), "the config that the image's CMD names")
    check("command" not in rendering.container and "args" not in rendering.container, "the image's CMD is replaced")
    check(not any("subPath" in mount for mount in rendering.container["volumeMounts"]), "a subPath is never updated")
    config, _ = program.effective(rendering)
    (pair,) = config["tls"]["certificates"]
    equal({pathlib.Path(file).name for file in pair.values()}, {"tls.crt", "tls.key"}, "files of a TLS Secret")


def image(rendering, _):
    compose = yaml.safe_load((TOP / "deploy" / "compose" / "docker-compose.yml").read_text())
    version = tomllib.loads((TOP / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    # A variable with a default is there for the test of the demo.
    demo = re.sub(r"^\$\{\w+:?-(.*)\}$", r"\1", compose["services"]["headpin"]["image"])
    name = demo.partition(":")[0]
    equal(rendering.container["image"], f"{name}:{version}", "the image")


def security(rendering, _):
    pod, container = rendering.pod["spec"]["securityContext"], rendering.container["securityContext"]
    user = ":".join(str(pod[key]) for key in ("runAsUser", "runAsGroup"))
    equal(user, last_instruction("USER"), "the user, and the Dockerfile's")
    equal(pod["fsGroup"], pod["runAsGroup"], "the group that may read the key")
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    equal(container, wanted, "the container's securityContext")
    equal((pod["runAsNonRoot"], pod["seccompProfile"]), (True, {"type": "RuntimeDefault"}), "non-root and seccomp")
    labels = rendering.one("Namespace")["metadata"]["labels"]
    equal(labels["pod-security.kubernetes.io/enforce"], "restricted", "the namespace's standard")


def drain(rendering, program):
    config, _ = program.effective(rendering)
    pause = rendering.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = seconds(config["server"]["drain_grace"])
    until_kill = rendering.pod["spec"]["terminationGracePeriodSeconds"]
    check(until_kill > pause + grace, f"killed after {until_kill} s, in the midst of {pause} s + {grace} s of drain")


def workers(rendering, program):
    config, _ = program.effective(rendering)
    requested = rendering.container["resources"]["requests"]["cpu"]
    equal(str(config["server"]["workers"]), requested, "server.workers, and the cores requested")


def probes(rendering, program):
    """The running program answers them, and ends well when it is drained."""
    with program.serving(rendering) as address:
        for probe in ("livenessProbe", "readinessProbe"):
            ask(address, rendering.container[probe]["httpGet"]["path"])


def certificate(rendering, _):
    secret = rendering.volume("tls")["secret"]["secretName"]
    equal(rendering.one("Certificate")["spec"]["secretName"], secret, "the Certificate's Secret, and the one mounted")


def monitored(rendering, _):
    monitor = rendering.one("ServiceMonitor")
    selector = monitor["spec"]["selector"]["matchLabels"]
    found = [it for it in rendering.all("Service") if selects(selector, it["metadata"]["labels"])]
    equal([it["metadata"]["name"] for it in found], ["headpin-admin"], "Services that the ServiceMonitor selects")
    offered = {port["name"] for port in found[0]["spec"]["ports"]}
    wanted = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
    equal(wanted - offered, set(), "ports that the Service does not have")


def scaled_on_tunnels(rendering, program):
    """The metric that the autoscaler goes by is what the adapter makes of a series that the running program has."""
    metrics = rendering.one("HorizontalPodAutoscaler")["spec"]["metrics"]
    by_pod = [metric["pods"]["metric"]["name"] for metric in metrics if metric["type"] == "Pods"]
    adapter = yaml.safe_load((MANIFESTS / "operators" / "prometheus-adapter-values.yaml").read_text())
    made = [re.match(r"\w+", rule["seriesQuery"]).group() for rule in adapter["rules"]["custom"]]
    equal(by_pod, made, "the autoscaler's metrics, and those that the adapter's rules make")
    with program.serving(rendering) as address:
        (endpoint,) = rendering.one("ServiceMonitor")["spec"]["endpoints"]
        scrape = ask(address, endpoint["path"])
    unknown = [name for name in by_pod if not re.search(rf"^{name} ", scrape, re.MULTILINE)]
    equal(unknown, [], "metrics that the program does not have")


CHECKS = (
    every_file_is_used,
    schemas,
    namespaces,
    selectors,
    ports,
    files,
    image,
    security,
    drain,
    workers,
    probes,
)
RENDERINGS = {"base": CHECKS, "operators": (*CHECKS, certificate, monitored, scaled_on_tunnels)}


def headpin_from_arguments():
    parser = argparse.ArgumentParser(prog="deploy/test/kubernetes")
    parser.add_argument("--headpin", type=pathlib.Path, help="the program (default: the release or debug build)")
    built = [TARGET / profile / "headpin" for profile in ("release", "debug")]
    path = parser.parse_args().headpin or next(filter(pathlib.Path.exists, built), built[0])
    if not os.access(path, os.X_OK):
        parser.error(f"no program at {path}; build it first")
    return path.resolve()


def main():
    path = headpin_from_arguments()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as place:
        program = Program(path, pathlib.Path(place))
        for kustomization, checks in RENDERINGS.items():
            rendering = Rendering(kustomization)
            for function in checks:
                name = f"{rendering.name}/{function.__name__}"
                try:
                    function(rendering, program)
                    passed += 1
                    print(f"ok      {name}", flush=True)
                except Failure as failure:
                    failed += 1
                    print(f"FAILED  {name}: {failure}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


try:
    sys.exit(main())
except Failure as failure:
    sys.exit(f"deploy/test/kubernetes: {failure}")
