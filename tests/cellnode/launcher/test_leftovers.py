"""What a killed `up` left behind is ended; what only looks like it is not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellnode.launcher.leftovers import end_instances, look_at
from tests.e2e.waiting import until

SLEEPS = "import time; time.sleep(60)"
# Starts one more process in its session, as an agent starts its interpreter.
SPAWNS = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPS!r}])"


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    folder = tmp_path / "instances"
    (folder / "digits-3fa9c1-1").mkdir(parents=True)
    return folder


@pytest.fixture
def session() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, with a child."""
    with subprocess.Popen([sys.executable, "-c", SPAWNS], start_new_session=True) as process:
        until("its child runs", lambda: len(members(process.pid)) == 2)
        yield process
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)


def members(session: int) -> list[int]:
    pids = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    found = (look_at(pid) for pid in pids)
    return [one.pid for one in found if one is not None and one.session == session]


def record(instances: Path, pid: int, start_time: int) -> None:
    written = json.dumps({"pid": pid, "start_time": start_time})
    (instances / "digits-3fa9c1-1" / "agent.pid").write_text(written)


def start_time(pid: int) -> int:
    process = look_at(pid)
    assert process is not None
    return process.start_time


def test_a_recorded_instance_is_ended_with_its_whole_session(
    instances: Path, session: subprocess.Popen[bytes]
) -> None:
    record(instances, session.pid, start_time(session.pid))

    assert end_instances(instances) == []

    assert session.wait(5) == -signal.SIGKILL
    assert members(session.pid) == []
    assert list(instances.iterdir()) == []


def test_a_pid_that_was_given_to_another_process_is_left_alone(
    instances: Path, session: subprocess.Popen[bytes]
) -> None:
    record(instances, session.pid, start_time(session.pid) - 1)

    end_instances(instances)

    assert len(members(session.pid)) == 2


def test_an_instance_without_a_record_is_found_by_the_directory_it_runs(instances: Path) -> None:
    """Its provisioner may have been killed right after the start."""
    arguments = ["-c", SLEEPS, "runtime", str(instances / "digits-3fa9c1-1")]
    with subprocess.Popen([sys.executable, *arguments], start_new_session=True) as process:
        end_instances(instances)

        assert process.wait(5) == -signal.SIGKILL


def test_a_socket_in_a_short_folder_of_its_own_goes_too(instances: Path, tmp_path: Path) -> None:
    far = tmp_path / "cellnode-abc"
    far.mkdir()
    (far / "agent.sock").touch()
    settings = {"socket": str(far / "agent.sock")}
    (instances / "digits-3fa9c1-1" / "instance.json").write_text(json.dumps(settings))

    end_instances(instances)

    assert not far.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
def test_a_damaged_record_stops_nothing(instances: Path, content: bytes) -> None:
    (instances / "digits-3fa9c1-1" / "agent.pid").write_bytes(content)

    assert end_instances(instances) == []

    assert list(instances.iterdir()) == []
