"""Pinning a namespace: what goes into a checkpoint, what stays together, what is left out."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cellnode import NotPinned, Pin, PinError, Store, StoreError, pin
from schemas.checkpoints import parse_manifest

ROOT = Path(__file__).resolve().parent.parent.parent


def notebook(source: str) -> dict[str, Any]:
    """The namespace of a notebook in which this was run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<notebook>", "exec"), namespace)
    return namespace


def pinned(namespace: dict[str, Any], store: Path, **options: Any) -> Pin:
    return pin("model", namespace=namespace, store=store, **{"check": False, **options})


def groups(made: Pin) -> list[set[str]]:
    variables = made.manifest["variables"]
    return [
        {each["name"] for each in variables if each["group"] == index}
        for index in range(len(made.manifest["groups"]))
    ]


def answer(made: Pin, cell: str) -> Any:
    """What `answer` is after this cell ran in the restored namespace of a fresh process."""
    program = (
        "import sys, types, json; package = types.ModuleType('restoring');"
        "package.__path__ = [sys.argv[1]]; sys.modules['restoring'] = package;"
        "from restoring.loading import load; namespace = load(*sys.argv[2:4]).namespace;"
        "exec(sys.argv[4], namespace); print(json.dumps(namespace['answer']))"
    )
    interpreter = str(ROOT / "runtime" / "interpreter")
    done = subprocess.run(
        [sys.executable, "-c", program, interpreter, str(made.store), made.digest, cell],
        capture_output=True, timeout=60, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_variables_come_back_as_they_were(tmp_path: Path) -> None:
    state = "import math\na = [1, 2.5, 'x', None]\nb = {'k': (1, 2)}\nc = 1 + 2j\nd = b'raw'"

    made = pinned(notebook(state), tmp_path)

    found = answer(made, "answer = [a, b['k'] == (1, 2), c.imag, list(d), math.floor(2.5)]")
    assert found == [[1, 2.5, "x", None], True, 2.0, list(b"raw"), 2]


def test_what_shares_objects_lies_together_and_the_rest_apart(tmp_path: Path) -> None:
    state = "shared = []\na = {'s': shared}\nb = [shared]\nalone = [1]\nname = 'x'"

    made = pinned(notebook(state), tmp_path)

    assert sorted(map(sorted, groups(made))) == [["a", "b", "shared"], ["alone"], ["name"]]
    found = answer(made, "shared.append(7); answer = [a, b, alone]")
    assert found == [{"s": [7]}, [[7]], [1]]


def test_arrays_of_one_dtype_and_importable_classes_share_nothing(tmp_path: Path) -> None:
    state = """
import numpy as np, datetime, collections
a, b = np.zeros(9), np.ones(9)
c, d = datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)
e, f = collections.OrderedDict(x=1), collections.OrderedDict(y=1)
"""
    made = pinned(notebook(state), tmp_path)

    assert sorted(map(sorted, groups(made))) == [[name] for name in "abcdef"]


def test_objects_and_their_class_stay_of_one_kind(tmp_path: Path) -> None:
    state = "class Model: ...\na, b = Model(), Model()\nkinds = {Model: 'model'}"

    made = pinned(notebook(state), tmp_path)

    assert groups(made) == [{"Model", "a", "b", "kinds"}]
    assert answer(made, "answer = [type(a) is Model, kinds[type(b)]]") == [True, "model"]


def test_functions_see_the_restored_variables_without_copies_of_them(tmp_path: Path) -> None:
    state = """
counter = 0
table = list(range(1000))
def bump():
    global counter
    counter += 1
    return counter + len(table)
def twice(): return bump() + bump()
"""
    made = pinned(notebook(state), tmp_path)

    assert all(len(group) == 1 for group in groups(made))
    assert answer(made, "answer = [twice(), counter]; table.clear(); answer.append(bump())") == [
        2003, 2, 3,
    ]  # fmt: skip


def test_a_cached_function_comes_back_cached(tmp_path: Path) -> None:
    state = """
import functools
calls = []
@functools.lru_cache(maxsize=3)
def slow(n):
    calls.append(n)
    return n * 2
slow(1)
"""
    made = pinned(notebook(state), tmp_path)

    cell = "answer = [slow(5), slow(5), calls, slow.cache_parameters()['maxsize']]"
    assert answer(made, cell) == [10, 10, [1, 5], 3]


def test_an_unpicklable_variable_is_named_with_its_path_and_left_out(tmp_path: Path) -> None:
    state = "import threading\nok = 1\nmodel = {'layers': [1, {'lock': threading.Lock()}]}"

    with pytest.warns(NotPinned, match=r"model\['layers'\]\[1\]\['lock'\]"):
        made = pinned(notebook(state), tmp_path)

    assert groups(made) == [{"ok"}]
    assert [(each.variable, each.path) for each in made.skipped] == [
        ("model", "model['layers'][1]['lock']")
    ]
    assert "lock" in made.skipped[0].reason


def test_the_path_leads_through_attributes_and_closures(tmp_path: Path) -> None:
    state = """
class Model: ...
model = Model()
model.source = (n for n in [1])
def made():
    handle = (n for n in [1])
    return lambda: handle
f = made()
"""
    with pytest.warns(NotPinned):
        made = pinned(notebook(state), tmp_path)

    assert [each.path for each in made.skipped] == ["f.<handle>", "model.source"]


def test_a_named_variable_that_cannot_be_pinned_fails(tmp_path: Path) -> None:
    namespace = notebook("a = (n for n in [1])\nb = 1")

    with pytest.raises(PinError, match=r"a cannot be pinned .*generator"):
        pinned(namespace, tmp_path, variables=["a", "b"])
    with pytest.raises(PinError, match="there is no variable c"):
        pinned(namespace, tmp_path, variables=["c"])


def test_named_functions_bring_what_they_use(tmp_path: Path) -> None:
    state = """
import math, json
unused = [1]
factor = 2
def inner(v): return math.floor(v * factor)
def f(v): return inner(v)
"""
    made = pinned(notebook(state), tmp_path, variables=["f"])

    assert {name for group in groups(made) for name in group} == {"f", "inner", "factor"}
    assert made.manifest["modules"] == [{"module": "math", "name": "math"}]
    assert answer(made, "answer = f(1.6)") == 3


def test_a_second_pin_writes_only_what_changed(tmp_path: Path) -> None:
    state = "import numpy as np\nbig = np.arange(100_000)\nother = np.arange(50_000)\nx = [1]"
    namespace = notebook(state)
    first = pinned(namespace, tmp_path)
    again = pinned(namespace, tmp_path)

    namespace["x"].append(2)
    third = pinned(namespace, tmp_path)

    assert first.written_bytes > 1_200_000
    assert (again.digest, again.written_bytes) == (first.digest, 0)
    assert third.digest != first.digest
    assert third.written_bytes < 100


def test_large_buffers_lie_out_of_band(tmp_path: Path) -> None:
    state = "import numpy as np\nbig = np.arange(100_000)\nsmall = np.zeros(3)"

    made = pinned(notebook(state), tmp_path)

    big, small = made.manifest["groups"]
    assert [buffer["bytes"] for buffer in big["buffers"]] == [800_000]
    assert big["blob"]["bytes"] < 300
    assert small["buffers"] == []
    assert answer(made, "big[0] = 5; answer = [int(big[:2].sum()), len(big)]") == [6, 100_000]


def test_the_manifest_is_what_the_services_read(tmp_path: Path) -> None:
    made = pinned(notebook("import numpy as np\na = np.zeros(2)\nx = [1]"), tmp_path)

    raw = Store(tmp_path).checkpoint_path(made.digest).read_bytes()
    manifest = parse_manifest(raw, made.digest)

    assert hashlib.sha256(raw).hexdigest() == made.digest
    assert [variable.name for variable in manifest.variables] == ["a", "x"]
    assert set(manifest.packages) == {"numpy"}
    assert manifest.python.executable == sys.executable
    assert {blob.sha256 for blob in manifest.blobs()} == {
        path.name for path in tmp_path.glob("blobs/??/*")
    }


def test_what_is_the_notebooks_own_is_left_out(tmp_path: Path) -> None:
    state = """
import cellnode
from cellnode import pin as my_pin
In, Out, _i1, _12, _, __, _ih, exit = [], {}, 'x', 1, 2, 3, [], 4
_kept = 1
def get_ipython(): return None
"""
    made = pinned(notebook(state), tmp_path)

    assert groups(made) == [{"_kept"}]
    assert made.manifest["modules"] == []


def test_pins_remember_who_when_and_what_was_before(tmp_path: Path) -> None:
    first = pinned(notebook("x = 1"), tmp_path)
    second = pinned(notebook("x = 2\n__file__ = 'digits.ipynb'"), tmp_path)

    record = Store(tmp_path).pin("default", "model")

    assert record is not None
    assert (record["digest"], record["parent"]) == (second.digest, first.digest)
    assert record["notebook"] == "digits.ipynb"
    assert record["by"]
    assert record["at"].endswith("+00:00")


@pytest.mark.parametrize("name", ["", "Model", "../x", "a" * 64, "a-", "a\n"])
def test_a_wrong_name_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match=r"name: .* must start with a small letter"):
        pin(name, namespace=notebook("x = 1"), store=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_what_a_fresh_process_cannot_load_is_not_announced(tmp_path: Path) -> None:
    state = "class A:\n    def __setstate__(self, s): raise OSError('no GPU')\na = A()\na.x = 1"

    with pytest.raises(PinError, match="Loading A, a failed: OSError: no GPU"):
        pinned(notebook(state), tmp_path, check=True)

    assert Store(tmp_path).pin("default", "model") is None


def test_the_callers_variables_are_pinned_where_the_environment_says(tmp_path: Path) -> None:
    script = tmp_path / "notebook.py"
    script.write_text(
        "import cellnode\nx = [1, 2]\nmade = cellnode.pin('mine', upload=False)\nprint(made.digest)"
    )

    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CELLNODE_DATA": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    store = Store(tmp_path / "store")
    record = store.pin("default", "mine")
    assert record is not None
    assert record["digest"] == done.stdout.strip()
    assert [each["name"] for each in store.manifest(record["digest"])["variables"]] == ["x"]


def test_blobs_are_written_once_and_read_only(tmp_path: Path) -> None:
    store = Store(tmp_path)

    reference, is_new = store.put_blob(b"content")
    _, is_new_again = store.put_blob(b"content")

    path = store.blob_path(reference["sha256"])
    assert (is_new, is_new_again) == (True, False)
    assert path.stat().st_mode & 0o777 == 0o444
    assert [found.name for found in tmp_path.rglob("*") if found.is_file()] == [path.name]
