"""What the kernel holds a cell to, and that only the cell feels it."""

import os
import subprocess
import sys

import pytest

from cellnode import Pin, Store
from tests.runtime.instances import ROOT, Instances

LIMITS = {"memory_bytes": 512 * 1024**2, "files_max": 64, "file_bytes_max": 1_000_000}


@pytest.mark.parametrize(
    ("cell", "exception"),
    [
        ("waste = bytearray(10**9)", "MemoryError"),
        ("kept = [open('/dev/null') for _ in range(100)]", "OSError"),
        ("with open('large', 'wb') as file: file.write(bytes(2_000_000))", "OSError"),
    ],
)
def test_a_cell_that_wants_more_than_its_share_gets_an_exception(
    instances: Instances, cell: str, exception: str
) -> None:
    instance = instances.start(f"if greedy:\n    {cell}", inputs=["greedy"], limits=LIMITS).ready()

    answer = instance.execute({"greedy": True})

    assert answer.json["exception"] == exception
    assert instance.execute({"greedy": False}).status == 200


def test_a_cell_leaves_no_core_dump(instances: Instances) -> None:
    cell = "import resource\nlimit = resource.getrlimit(resource.RLIMIT_CORE)"
    instance = instances.start(cell, outputs=["limit"]).ready()

    assert instance.output()["limit"] == [0, 0]


UNPRIVILEGED = """
import os, resource, sys
from runtime.interpreter import limits
if os.geteuid() == 0:
    os.setuid(54321)
limits.apply({"memory_bytes": 2**32, "files_max": 64, "file_bytes_max": 2**30, "processes_max": 3})
children = []
for _ in range(8):
    try:
        pid = os.fork()
    except BlockingIOError:
        break
    if pid == 0:
        sys.stdin.read()
        os._exit(0)
    children.append(pid)
print(len(children))
"""


def test_an_unprivileged_cell_cannot_start_processes_without_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip

    assert int(done.stdout) == 3


def bytes_to_flip(made: Pin) -> list[tuple[str, int]]:
    """A place in every file of a checkpoint, and several in its manifest."""
    store = Store(made.store)
    files = [store.checkpoint_path(made.digest)] * 5 + sorted(made.store.glob("blobs/??/*"))
    return [
        (str(path), path.stat().st_size * part // len(files)) for part, path in enumerate(files)
    ]


def test_no_flipped_bit_reaches_the_unpickler(instances: Instances) -> None:
    state = "import numpy as np\na = np.arange(300_000)\nb = [1]\nc = {'d': a}\ndef f(): return b\n"
    made = instances.pin(state)
    interpreter = str(ROOT / "runtime" / "interpreter")

    for path, position in bytes_to_flip(made):
        os.chmod(path, 0o600)
        with open(path, "r+b") as file:
            file.seek(position)
            before = file.read(1)
            file.seek(position)
            file.write(bytes([before[0] ^ 0x10]))
        command = [sys.executable, interpreter, "check", str(made.store), made.digest]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        with open(path, "r+b") as file:
            file.seek(position)
            file.write(before)
        assert "CHECKPOINT_DAMAGED" in done.stdout, (path, position, done)
