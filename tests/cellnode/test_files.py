"""Scripts and notebooks: cells, marks, and the state that a fresh process builds from them."""

import json
import os
import time
from pathlib import Path

import pytest

from cellnode.errors import FileFailed, MarkError, PinError
from cellnode.files import build
from cellnode.sources import of_notebook, plain_python, read_cells

SCRIPT = '''"""Train."""
import math, threading

# %% [markdown]
# Some words.

# %%
def area(r):
    return math.pi * r * r * scale

scale, radius, lock = 2, 1.5, threading.Lock()
print("trained", __name__, end="")

# %% [node] circle --inputs radius --outputs result --want 2
lock = 3
result = area(radius)
# %%
raise RuntimeError("not reached")
'''


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local store."""
    monkeypatch.setenv("CELLNODE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def script(folder: Path, text: str) -> Path:
    path = folder / "train.py"
    path.write_text(text)
    return path


def notebook(*cells: tuple[str, str] | tuple[str, str, str]) -> str:
    found = [
        {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {"tags": tags}}
        for kind, source, *tags in cells
    ]
    return json.dumps({"cells": found, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def test_the_cells_before_the_mark_are_run_and_what_it_needs_is_pinned(tmp_path: Path) -> None:
    said: list[str] = []

    (built,) = build(script(tmp_path, SCRIPT), on_output=said.append)

    assert "".join(said) == "trained __main__"
    assert [each["name"] for each in built.pin.manifest["variables"]] == ["area", "radius", "scale"]
    assert built.spec == {
        "checkpoint": built.pin.digest,
        "cell": "lock = 3\nresult = area(radius)\n",
        "inputs": ["radius"],
        "outputs": ["result"],
        "instances": {"min": 1, "want": 2},
        "idempotent": False,
        "env": {},
    }
    assert (built.pin.name, built.pin.uploaded) == ("circle", False)


def test_several_nodes_of_one_file_are_each_pinned_where_they_stand(tmp_path: Path) -> None:
    text = "n = 1\n# %% [node] a --outputs n\nn\n# %%\nn = 2\n# %% [node] b --outputs n\nn\n"

    first, second = build(script(tmp_path, text))

    assert first.pin.digest != second.pin.digest
    assert [each.mark.node for each in build(script(tmp_path, text), "a")] == ["a"]


@pytest.mark.parametrize(
    ("text", "cell", "line", "told"),
    [
        ("x = 1\n# %%\n\ndef f():\n    return 1 / 0\nf()\n", 2, 6, "ZeroDivisionError"),
        ("# %%\nx = \n", 1, 2, "SyntaxError"),
        ("# %%\nimport sys\nsys.exit(3)\n", 1, 3, "SystemExit: 3"),
        ("# %%\nimport os\nos._exit(7)\n", 1, 0, "ended with code 7"),
        ("# %%\nimport os\nos.kill(os.getpid(), 9)\n", 1, 0, "by signal 9"),
    ],
)
def test_a_cell_that_fails_is_named_with_its_line(
    tmp_path: Path, text: str, cell: int, line: int, told: str
) -> None:
    with pytest.raises(FileFailed, match=told) as raised:
        build(script(tmp_path, text + "# %% [node] a --outputs x\nx = 1\n"))

    assert (raised.value.cell, raised.value.line) == (cell, line)
    assert f"cell {cell}" in str(raised.value)


def test_the_traceback_of_a_failure_shows_the_user_s_lines_alone(tmp_path: Path) -> None:
    text = "def f():\n    return 1 / 0\nf()\n# %% [node] a --outputs x\nx = 1\n"

    with pytest.raises(FileFailed) as raised:
        build(script(tmp_path, text))

    trace = raised.value.traceback
    assert "line 3, in <module>" in trace
    assert "return 1 / 0" in trace
    assert "running_child" not in trace


def test_a_file_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    text = (
        "import subprocess, pathlib\n# %%\nchild = subprocess.Popen(['sleep', '60'])\n"
        "pathlib.Path(__file__).with_name('pid').write_text(str(child.pid))\nchild.wait()\n"
        "# %% [node] a --outputs x\nx = 1\n"
    )

    with pytest.raises(FileFailed, match=r"cell 2 was still running after 1\.5 s"):
        build(script(tmp_path, text), run_seconds_max=1.5)

    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}/cwd") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not os.path.exists(f"/proc/{pid}/cwd")


def test_what_cannot_be_pinned_is_told_with_the_file(tmp_path: Path) -> None:
    text = "import threading\nf = threading.Lock()\n# %% [node] a --outputs x\nx = f.locked()\n"

    with pytest.raises(PinError, match=r"train\.py: f cannot be pinned"):
        build(script(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "node", "told"),
    [
        ("x = 1\n", None, "it has no marked cell. Mark one: # %% \\[node\\] NAME"),
        ("# %% [node] a\nx = 1\n", "b", "no cell of b; it marks a"),
        ("# %% [node] a\nx\n# %% [node] a\nx\n", None, "marks more than one cell as a"),
    ],
)
def test_a_file_without_the_cell_says_how_to_mark_one(
    tmp_path: Path, text: str, node: str | None, told: str
) -> None:
    with pytest.raises(FileFailed, match=told):
        build(script(tmp_path, text), node)


def test_a_wrong_mark_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(MarkError, match=r"train\.py, line 2: there is no option --input;"):
        read_cells(script(tmp_path, "x = 1\n# %% [node] a --input x\nx\n"))


def test_the_cells_of_a_notebook_are_run_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("41")
    cells = notebook(
        ("markdown", "# Title"),
        ("code", "%matplotlib inline\nn = int(open('data.txt').read())\n"),
        ("code", "raise Exception", "skip-execution"),
        ("code", "async def later():\n    return 1\nn += await later()"),
        ("code", "# node: counter --outputs n\nn = n", "node"),
    )
    path = tmp_path / "train.ipynb"
    path.write_text(cells)

    (built,) = build(path)

    assert built.cell == "n = n\n"
    assert built.pin.manifest["variables"][0]["type"] == "int"


def test_a_failing_cell_of_a_notebook_is_counted_as_its_reader_counts(tmp_path: Path) -> None:
    cells = notebook(("markdown", "x"), ("code", "\n1 / 0"), ("code", "%%node a\nx = 1"))
    path = tmp_path / "train.ipynb"
    path.write_text(cells)

    with pytest.raises(FileFailed, match=r"train\.ipynb, cell 2, line 2 failed") as raised:
        build(path)

    assert "1 / 0" in raised.value.traceback


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (("code", "x = 1", "node"), "cell 1 has the tag node but no mark"),
        (("code", "# node: A", "node"), "cell 1: 'A' is no name"),
    ],
)
def test_a_tag_without_a_good_mark_is_told(cell: tuple[str, str, str], told: str) -> None:
    with pytest.raises(MarkError, match=told):
        of_notebook(notebook(cell), Path("a.ipynb"))


@pytest.mark.parametrize("text", ["", "[]", '{"cells": [{}]}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_told(text: str) -> None:
    with pytest.raises(FileFailed, match=r"a\.ipynb is no notebook of format 4"):
        of_notebook(text, Path("a.ipynb"))


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("%pip install x\ny = 1", "\ny = 1"),
        ("%%time\ny = 1", "\ny = 1"),
        ("if x:\n    %config a\ny = 1", "if x:\n    pass\ny = 1"),
        ("text = '''\n!no command\n'''", "text = '''\n!no command\n'''"),
    ],
)
def test_what_only_a_notebook_understands_is_left_out_where_that_is_right(
    source: str, plain: str
) -> None:
    (cell,) = of_notebook(notebook(("code", source)), Path("a.ipynb"))

    assert plain_python(cell) == plain


@pytest.mark.parametrize("line", ["!wget data", "%run other.py", "?print"])
def test_what_would_change_the_state_is_refused_with_the_remedy(line: str) -> None:
    (cell,) = of_notebook(notebook(("code", f"x = 1\n{line}")), Path("a.ipynb"))

    with pytest.raises(FileFailed, match=r"cell 1, line 2: .* is no Python; .*skip-execution"):
        plain_python(cell)


@pytest.mark.parametrize("name", ["a.txt", "none.py"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFailed, match=name):
        read_cells(tmp_path / name)


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileFailed, match="cannot be started"):
        build(script(tmp_path, SCRIPT), python=str(tmp_path / "python"))
