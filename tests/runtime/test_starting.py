"""From the start of an instance to its first phase of consequence: ready, or failed and why."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellnode import Pin, Store
from tests.runtime.instances import ROOT, Instances, RunningInstance, children, is_alive

STATE = "import colorsys\nnumbers = list(range(5000))\ndef double(v): return v * 2\n"


def failure(instances: Instances, **changes: Any) -> dict[str, Any]:
    """The phase of an instance that cannot load, which its agent stays up to tell."""
    instance = instances.start("y = 1", outputs=["y"], **changes)
    document = instance.until_phase("failed", "ready")
    assert document["phase"] == "failed", document
    assert instance.execute().json["code"] == "not-ready"
    assert instance.request("GET", "/readyz").status == 503
    assert instance.request("GET", "/livez").status == 200
    return document


def rewritten(instances: Instances, pinned: Pin, change: dict[str, dict[str, str]]) -> str:
    """The digest of a checkpoint whose manifest says something else."""
    changed = {part: {**pinned.manifest[part], **values} for part, values in change.items()}
    manifest = {**pinned.manifest, **changed}
    return Store(instances.store).put_checkpoint(manifest)


def test_the_phases_come_in_order_with_their_times(instances: Instances) -> None:
    history = instances.start("y = 1").ready().phase()["history"]

    assert [(each["seq"], each["phase"], each["reason"]) for each in history] == [
        (1, "started", "CONTACT"),
        (2, "preparing", "LOADING"),
        (3, "ready", "READY"),
    ]
    assert [each["at"] for each in history] == sorted(each["at"] for each in history)


def test_a_long_poll_answers_at_the_next_phase(instances: Instances) -> None:
    state = (
        "import time\nclass Slow:\n    def __reduce__(self): return time.sleep, (0.5,)\ns = Slow()"
    )
    instance = instances.start("y = 1", state=state)
    assert instance.until_phase("preparing")["seq"] == 2
    began = time.monotonic()

    document = instance.phase(after=2, wait_ms=20_000)

    assert (document["seq"], document["phase"]) == (3, "ready")
    assert time.monotonic() - began < 5


def test_a_long_poll_answers_when_its_time_is_over(instances: Instances) -> None:
    instance = instances.start("y = 1").ready()
    began = time.monotonic()

    assert instance.phase(after=3, wait_ms=150)["seq"] == 3
    assert time.monotonic() - began >= 0.15


def test_agent_pid_names_the_agent_for_ever(instances: Instances) -> None:
    instance = instances.start("y = 1").ready()

    document = json.loads((instance.directory / "agent.pid").read_text())

    assert document["pid"] in children(instance.keeper.pid)
    fields = Path(f"/proc/{document['pid']}/stat").read_text().rpartition(")")[2].split()
    assert document["start_time"] == int(fields[19])
    assert os.getsid(document["pid"]) == instance.keeper.pid


def blobs(pinned: Pin) -> list[Path]:
    groups = pinned.manifest["groups"]
    references = [each for group in groups for each in (group["blob"], *group["buffers"])]
    return [Store(pinned.store).blob_path(each["sha256"]) for each in references]


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)


def truncate(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, "CHECKPOINT_DAMAGED"),
        (truncate, "CHECKPOINT_DAMAGED"),
        (Path.unlink, "CHECKPOINT_MISSING"),
    ],
)
def test_a_damaged_blob_is_named_before_anything_is_unpickled(
    instances: Instances, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    touched = tmp_path / "touched"
    state = f"class A:\n    def __reduce__(self): return open, ({str(touched)!r}, 'w')\na = A()\n"
    pinned = instances.pin(state + "z = [1]", check=False)
    path = blobs(pinned)[-1]
    damage(path)

    document = failure(instances, checkpoint=pinned.digest)

    assert document["reason"] == reason
    assert path.name in document["sentence"]
    assert not touched.exists()


def test_a_flipped_buffer_is_found(instances: Instances) -> None:
    pinned = instances.pin("import numpy\na = numpy.arange(10_000)")
    flip(blobs(pinned)[-1])

    document = failure(instances, checkpoint=pinned.digest)

    assert document["reason"] == "CHECKPOINT_DAMAGED"
    assert document["evidence"]["wanted"] != document["evidence"]["found"]


def test_a_manifest_that_was_changed_is_found(instances: Instances) -> None:
    pinned = instances.pin(STATE)
    flip(Store(instances.store).checkpoint_path(pinned.digest))

    assert failure(instances, checkpoint=pinned.digest)["reason"] == "CHECKPOINT_DAMAGED"


def test_a_checkpoint_that_does_not_exist_is_missing(instances: Instances) -> None:
    document = failure(instances, checkpoint="0" * 64)

    assert document["reason"] == "CHECKPOINT_MISSING"
    assert "0" * 64 in document["sentence"]


@pytest.mark.parametrize(
    ("change", "reason", "difference"),
    [
        ({"python": {"version": "3.9.1"}}, "PYTHON_MISMATCH", "pinned by CPython 3.9.1, the node"),
        ({"python": {"implementation": "PyPy"}}, "PYTHON_MISMATCH", "pinned by PyPy"),
        ({"platform": {"machine": "riscv64"}}, "PYTHON_MISMATCH", "riscv64"),
        ({"packages": {"no-such": "1.0"}}, "PACKAGE_MISSING", "no-such 1.0 is not installed"),
        ({"packages": {"numpy": "0.1"}}, "PACKAGE_MISMATCH", "numpy 0.1 was pinned, "),
    ],
)
def test_an_environment_that_does_not_fit_is_refused_with_the_difference(
    instances: Instances, change: dict[str, dict[str, str]], reason: str, difference: str
) -> None:
    digest = rewritten(instances, instances.pin(STATE), change)

    document = failure(instances, checkpoint=digest)

    assert document["reason"] == reason
    assert difference in document["evidence"]["difference"]


def test_an_object_that_raises_while_loading_is_told_with_its_traceback(
    instances: Instances,
) -> None:
    state = """
class Model:
    def __init__(self): self.weights = [1]
    def __setstate__(self, state): raise RuntimeError('no GPU here')
model = Model()
"""
    document = failure(instances, state=state)

    assert document["reason"] == "LOAD_FAILED"
    assert "Loading Model, model failed: RuntimeError: no GPU here" in document["sentence"]
    assert "__setstate__" in document["evidence"]["traceback"]
    assert "loading.py" not in document["evidence"]["traceback"]


def test_a_cell_that_does_not_compile_is_told_with_its_line(instances: Instances) -> None:
    instance = instances.start("y = (1")

    document = instance.until_phase("failed")

    assert document["reason"] == "LOAD_FAILED"
    assert "y = (1" in document["evidence"]["traceback"]


def test_a_checkpoint_beyond_the_memory_limit_fails_alone(instances: Instances) -> None:
    state = "class A:\n    def __reduce__(self): return bytearray, (10**9,)\na = A()"
    limits = {"memory_bytes": 512 * 1024**2}

    document = failure(instances, state=state, limits=limits)

    assert document["reason"] == "LOAD_FAILED"
    assert "MemoryError" in document["sentence"]


def test_an_interpreter_that_dies_while_loading_is_told(instances: Instances) -> None:
    state = "import os\nclass A:\n    def __reduce__(self): return os._exit, (7,)\na = A()"

    document = failure(instances, state=state)

    assert document["reason"] == "LOAD_FAILED"
    assert document["evidence"]["exit_code"] == "7"


def test_a_python_that_cannot_be_started_ends_the_instance(instances: Instances) -> None:
    instance = instances.start("y = 1", python="/nowhere/python")

    assert instance.exit()["code"] == 3
    assert "/nowhere/python" in instance.log()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cell": 1}, "cell: must be str"),
        ({"limits": {"cpu_count": "two"}}, "memory_bytes: must be int"),
        ({"socket": "/tmp/" + "s" * 110}, "socket: longer than"),
        ({"state": "fresh"}, "state: "),
        ({"inputs": [{"name": "not a name"}]}, "inputs: each must have"),
        ({"env": {"A": 1}}, "env: 'A' must name a text"),
        ({"deadline_seconds": "long"}, "deadline_seconds: must be a number"),
    ],
)
def test_an_invalid_instance_file_ends_the_instance_by_field(
    instances: Instances, change: dict[str, Any], words: str
) -> None:
    valid = instances.start("y = 1")
    directory = instances.directory / "invalid"
    directory.mkdir()

    invalid = RunningInstance(directory, {**valid.document, **change})

    assert invalid.exit()["code"] == 2
    assert words in invalid.log()


def test_the_inventory_says_what_a_python_has() -> None:
    path = ROOT / "runtime" / "interpreter" / "inventory.py"

    done = subprocess.run([sys.executable, str(path)], capture_output=True, timeout=30, check=True)

    document = json.loads(done.stdout)
    assert document["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert document["packages"]["scikit-learn"].startswith("1.")
    assert document["platform"]["system"] == "Linux"


def test_a_failed_instance_leaves_no_interpreter_behind(instances: Instances) -> None:
    instance = instances.start("y = 1", checkpoint="0" * 64)
    instance.until_phase("failed")
    processes = instance.processes()

    os.kill(instance.agent_pid, 15)

    assert instance.exit()["code"] == 0
    assert not [pid for pid in processes if is_alive(pid)]
