"""`import cellnode` costs next to nothing, wherever it is imported, and is typed."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cellnode
from tests.sources import ROOT

LATER = {"cloudpickle", "httpx2", "rich", "cyclopts", "IPython", "numpy", "asyncio"}


def run(program: str, python: str = sys.executable) -> str:
    done = subprocess.run(
        [python, "-c", program],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_imported_that_is_not_needed_yet() -> None:
    program = (
        "import sys; before = set(sys.modules); import cellnode, json;"
        "print(json.dumps([n for n in sys.modules if n.split('.')[0] == 'cellnode' or n in %r]))"
    )

    assert json.loads(run(program % LATER)) == ["cellnode"]


def test_a_client_is_made_without_the_http_library() -> None:
    program = (
        "import sys, cellnode; cellnode.connect().node('a').url; print('httpx2' in sys.modules)"
    )

    assert run(program).strip() == "False"


@pytest.mark.parametrize("name", cellnode.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    found = getattr(cellnode, name)

    assert found.__doc__
    assert name in dir(cellnode)


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'cellnode' has no attribute 'nothing'"):
        _ = cellnode.nothing


@pytest.mark.parametrize("name", ["client", "deploying", "pinning", "node", "http"])
def test_a_module_imported_first_hides_no_function(name: str) -> None:
    importlib.import_module(f"cellnode.{name}")

    assert callable(cellnode.pin)
    assert callable(cellnode.deploy)


USER = """
import cellnode
from cellnode import CellFailed, Node

pinned = cellnode.pin("a", ["x"], namespace={"x": 1})
node: Node = cellnode.deploy("a", pinned, cell="y = x", outputs={"y": {"type": "number"}})
answer: dict[str, object] = node.call(x=1)
units: float = node.view().cost.units_per_hour
for event in cellnode.connect().events(node="a"):
    reveal_type(event.at)
cellnode.deploy("a", 3, cell="y = x")
"""


@pytest.mark.full
def test_a_user_s_program_is_checked_by_its_types(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "user.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip

    lines = done.stdout.splitlines()
    assert 'Revealed type is "datetime.datetime | None"' in lines[0].replace("Union", "")
    assert 'Argument 2 to "deploy" has incompatible type "int"' in lines[1]
    assert len(lines) == 3, done.stdout
