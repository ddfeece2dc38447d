"""`cellnode up` itself: refused twice, interrupted early, misconfigured, stopped under load."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bus import Follower
from tests.e2e.calls import load
from tests.e2e.system import System, traces_of
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World
from tests.sources import ROOT

STOP_SECONDS_MAX = 5.0


def up(data: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cellnode", "up", "--data", str(data), "--gateway", "127.0.0.1:0"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory of which nothing may run after the test."""
    yield tmp_path / "data"
    assert traces_of(tmp_path) == []


def test_a_second_up_on_the_same_directory_is_refused_with_a_remedy(system: System) -> None:
    with up(system.data) as second:
        _, said = second.communicate(timeout=20)

    assert second.returncode == 1
    assert f"process {system.launcher.pid}" in said
    assert "--data" in said
    system.until_ready()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(one, marks=pytest.mark.full) for one in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_an_interrupted_start_leaves_nothing(data: Path, number: signal.Signals) -> None:
    with up(data) as launcher:
        until("a service runs", lambda: (data / "logs" / "health.log").exists())
        launcher.send_signal(number)
        launcher.communicate(timeout=STOP_SECONDS_MAX)

    assert launcher.returncode == 0
    assert not (data / "addresses.json").exists()
    assert not (data / "prometheus.json").exists()


def test_a_misspelt_setting_is_named_with_the_nearest_right_one(data: Path) -> None:
    with up(data, CELLNODE_GATEWAY_BACKLOGG="10") as launcher:
        _, said = launcher.communicate(timeout=20)

    assert launcher.returncode == 1
    assert "CELLNODE_GATEWAY_BACKLOGG" in said
    assert "did you mean CELLNODE_GATEWAY_BACKLOG?" in said


def test_a_service_that_dies_is_started_again_and_that_is_told(system: System) -> None:
    system.restart("health", signal.SIGKILL)

    assert "health ended (SIGKILL); it is started again" in system.said()


@pytest.mark.full
def test_a_folder_of_the_users_called_schemas_is_never_ours(data: Path, tmp_path: Path) -> None:
    for name in ("schemas", "services", "runtime"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('this is the user')")
    command = [sys.executable, "-m", "cellnode", "up", "--data", str(data)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "--gateway", "127.0.0.1:0"], cwd=tmp_path, env=environment, stdout=-1, stderr=-1
    ) as launcher:
        until("everything is ready", lambda: (data / "addresses.json").exists(), seconds=30)
        launcher.send_signal(signal.SIGINT)
        launcher.communicate(timeout=STOP_SECONDS_MAX)

    assert launcher.returncode == 0


def test_ctrl_c_under_load_ends_everything_and_leaves_nothing(own_system: System) -> None:
    with Follower(own_system.kafka) as statuses:
        world = World(own_system, statuses)
        node = world.deploy(world.pin(), f"{WHO}\nimport time\ntime.sleep(30)", want=3)
    with load(own_system.gateway, node, connections=3):
        own_system.launcher.send_signal(signal.SIGINT)
        until("the launcher is gone", lambda: own_system.launcher.poll() is not None)

    assert own_system.launcher.returncode == 0
    assert own_system.traces() == []
    assert list((own_system.data / "instances").iterdir()) == []


def test_addresses_are_told_to_programs_too(system: System) -> None:
    told = json.loads((system.data / "addresses.json").read_text())

    assert told["gateway"].startswith("http://127.0.0.1:")
    assert set(told["services"]) == {"provisioner", "health", "api", "gateway", "broker"}
    assert told["data"] == str(system.data)


def test_prometheus_is_told_whom_to_scrape(system: System) -> None:
    told = json.loads((system.data / "addresses.json").read_text())
    targets = json.loads((system.data / "prometheus.json").read_text())

    assert {one["labels"]["service"]: one["targets"] for one in targets} == {
        name: [address] for name, address in told["services"].items()
    }
    assert {one["labels"]["job"] for one in targets} == {"cellnode"}
