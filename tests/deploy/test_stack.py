"""The guide is typed in a real Docker Engine: the image, all services, and what ends with what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose import composed, sample
from tests.deploy.engine import Engine, missing
from tests.deploy.images import has_pip, kafka_image, prometheus_image, python_image, redis_image
from tests.deploy.typist import Typist, guide_file, has_compose_plugin
from tests.e2e.waiting import until
from tests.servers import apache_kafka

pytestmark = [pytest.mark.full, pytest.mark.timeout(480)]

PROGRAMS = {"redis-server": "redis-server", "curl": "curl", "openssl": "openssl"}
OURS = ("provisioner", "health", "api", "gateway")
BACK_SECONDS_MAX = 90.0
LONGEST = "n" * 63
URL = "http://127.0.0.1:8080"


def reason() -> str | None:
    """Why the stack cannot be run here."""
    if why := missing() or apache_kafka.missing():
        return why
    if not has_compose_plugin() and shutil.which("docker-compose") is None:
        return "no Compose on this machine; `make test-all` installs docker-compose"
    if not has_pip():
        return "the Python that runs the tests has no pip in its site-packages"
    lacking = sorted(name for name in PROGRAMS if shutil.which(name) is None)
    return f"not installed: {', '.join(lacking)}" if lacking else None


class Stack:
    """What the guide has started, looked at from outside."""

    def __init__(self, engine: Engine, typist: Typist) -> None:
        self.engine, self.typist = engine, typist

    def containers(self, service: str) -> list[str]:
        label = f"label=com.docker.compose.service={service}"
        return self.engine.docker("ps", "-q", "--filter", label).split()

    def inspect(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(self.engine.docker("inspect", *self.containers(service)))
        return dict(found)

    def kill(self, service: str) -> None:
        """SIGKILL to the container's first process; what Docker's own `kill` ends stays ended."""
        before = self.inspect(service)
        self.engine.kill(before["State"]["Pid"])
        until(
            f"{service} is back",
            lambda: self._is_back(service, before["RestartCount"]),
            seconds=BACK_SECONDS_MAX,
            pause_seconds=0.5,
        )

    def calls(self, node: str = "prices", url: str = URL) -> bool:
        """Whether the guide's node answers."""
        body = '{"input": {"amount": 10.0, "currency": "usd"}}'
        asked = ("curl", "-s", "-m", "10", f"{url}/v1/nodes/{node}:execute", "-d", body)
        return '{"euro":9.26}' in self.engine.run(*asked, may_fail=True)

    def instances(self, node: str = "prices") -> set[str]:
        """Those that the api knows of, going ones included."""
        view = json.loads(self.engine.run("curl", "-s", f"{URL}/v1/nodes/{node}"))
        return {one["instance"] for one in view["instances"]}

    def _is_back(self, service: str, restarts: int) -> bool:
        now = self.inspect(service)
        is_healthy = now["State"].get("Health", {}).get("Status") == "healthy"
        return bool(now["RestartCount"] > restarts and is_healthy)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if why := reason():
        pytest.skip(why)
    with Engine() as running:
        yield running
    assert not running.directory.exists()
    assert running.traces() == []


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Everything up to the end of the guide, but the last section, which removes it."""
    images = {name: one["image"] for name, one in composed()["services"].items()}
    python_image(engine, sample()["PYTHON_IMAGE"])
    redis_image(engine, images["redis"])
    kafka_image(engine, images["kafka"])
    absent = ["grafana"]
    if shutil.which("prometheus"):
        prometheus_image(engine, images["prometheus"])
    else:
        absent.append("prometheus")
    typist = Typist(engine, tmp_path_factory.mktemp("checkout"), absent)
    typist.types_until("Remove")
    return Stack(engine, typist)


def test_the_guide_starts_a_node_that_answers(stack: Stack) -> None:
    assert stack.calls()


@pytest.mark.parametrize("service", [*OURS, "kafka", "redis"])
def test_a_container_is_walled_in(stack: Stack, service: str) -> None:
    found = stack.inspect(service)
    host, config = found["HostConfig"], found["Config"]

    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert config["User"].split(":")[0] not in ("", "0", "root")
    published = [one["HostIp"] for ports in host["PortBindings"].values() for one in ports]
    assert set(published) <= {"127.0.0.1"}


def test_whatever_runs_in_the_provisioner_has_no_right(stack: Stack) -> None:
    """Instances too."""
    (container,) = stack.containers("provisioner")
    look = (
        "import glob\n"
        "for path in glob.glob('/proc/[0-9]*/status'):\n"
        "    found = dict(line.split(':', 1) for line in open(path))\n"
        "    print(*(found[name].split()[0] for name in ('Uid', 'CapEff', 'NoNewPrivs')))\n"
        "try:\n    open('/opt/cellnode/app/planted', 'w')\n"
        "except OSError as error: print(error.errno)\n"
    )
    python = ("exec", container, "/opt/cellnode/bin/python", "-c", look)

    *processes, refused = stack.engine.docker(*python).splitlines()

    assert len(processes) > 6, "two instances, each a keeper, an agent and interpreters"
    assert set(processes) == {"10001 0000000000000000 1"}
    assert refused == "30", "a file system that is read-only"


def test_prometheus_scrapes_every_service(stack: Stack) -> None:
    if not stack.containers("prometheus"):
        pytest.skip("no prometheus on this machine; `make test-all` installs it")
    asked = ("curl", "-s", "http://127.0.0.1:9090/api/v1/query?query=up")

    def up() -> bool:
        found = json.loads(stack.engine.run(*asked))["data"]["result"]
        answered = {one["metric"].get("service") for one in found if one["value"][1] == "1"}
        return {*OURS} <= answered

    until("all are scraped", up, seconds=60, pause_seconds=1)


@pytest.mark.parametrize("service", ["gateway", "health", "redis", "kafka"])
def test_who_is_killed_comes_back_and_instances_go_on(stack: Stack, service: str) -> None:
    before = _agents(stack)

    stack.kill(service)

    until("the node answers", stack.calls, seconds=BACK_SECONDS_MAX, pause_seconds=0.5)
    assert _agents(stack) == before


def test_a_killed_provisioner_takes_its_instances_and_brings_them_back(stack: Stack) -> None:
    before = _agents(stack)

    stack.kill("provisioner")

    until("the node answers", stack.calls, seconds=BACK_SECONDS_MAX, pause_seconds=0.5)
    until("two instances", lambda: len(_agents(stack) - before) == 2, seconds=BACK_SECONDS_MAX)
    assert not _agents(stack) & before


def test_a_new_container_of_the_provisioner_goes_on_with_the_nodes_of_the_old(
    stack: Stack,
) -> None:
    """As an upgrade does it; under another host name the old instances would never be let go."""
    before = _agents(stack)

    stack.typist.types("docker compose up -d --wait --force-recreate --no-deps provisioner")

    until("two instances", lambda: len(_agents(stack) - before) == 2, seconds=BACK_SECONDS_MAX)
    until("the old ones are gone", lambda: stack.instances() == _agents(stack), seconds=60)
    until("the node answers", stack.calls, seconds=BACK_SECONDS_MAX, pause_seconds=0.5)


def test_a_node_of_the_longest_name_is_reached(stack: Stack) -> None:
    """Its socket's path has little room, and gateway and provisioner must agree about it."""
    stack.typist.writes("long.py", guide_file("prices.py").replace("prices", LONGEST))

    stack.typist.types(f"cellnode deploy --url {URL} long.py")

    assert stack.calls(LONGEST)


def test_several_gateways_share_a_range_of_ports(stack: Stack) -> None:
    stack.typist.types(
        "export GATEWAY_PORT=8080-8082; docker compose up -d --wait --scale gateway=2"
    )

    found = json.loads(stack.engine.docker("inspect", *stack.containers("gateway")))
    ports = [one["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"] for one in found]
    assert len({*ports}) == 2
    assert {*ports} <= {"8080", "8081", "8082"}
    assert all(stack.calls(url=f"http://127.0.0.1:{port}") for port in ports)


def test_removed_nothing_is_left(stack: Stack) -> None:
    stack.typist.types_after("Remove")

    assert stack.engine.docker("ps", "-aq") == ""
    assert stack.engine.docker("volume", "ls", "-q") == ""
    names = stack.engine.docker("network", "ls", "--format", "{{.Name}}").split()
    assert {*names} == {"bridge", "host", "none"}


def _agents(stack: Stack) -> set[str]:
    """The instances that have a process, by name."""
    (container,) = stack.containers("provisioner")
    said = stack.engine.docker("top", container, "-eo", "pid,args")
    words = {word for line in said.splitlines() for word in line.split()}
    return {Path(word).name for word in words if word.startswith("/data/instances/")}
