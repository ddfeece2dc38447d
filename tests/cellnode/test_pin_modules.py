"""Modules beside the notebook travel with the pin: whole, as they are now, in their place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from cellnode import NotPinned, pin
from cellnode.pin_packages import _tops_of, distributions_by_module
from tests.cellnode.test_pin import answer, groups, notebook, pinned

FILES = {
    "helpers_here.py": """
import math
import threading
import helpers_other_here as other
lock = threading.Lock()
table = {"seen": 0}
class Model:
    def __init__(self, weight): self.weight = weight
    def predict(self, x): return scaled(x) * self.weight
DEFAULT = Model(2)
def scaled(x):
    table["seen"] += 1
    return math.floor(x) + other.OFFSET
def guarded():
    with lock: return 1
""",
    "helpers_other_here.py": "OFFSET = 10\ndef offset(): return OFFSET\n",
    "bundle_here/__init__.py": "VERSION = 3\n",
    "bundle_here/deep/__init__.py": "from . import leaf\n",
    "bundle_here/deep/leaf.py": """
from functools import lru_cache
from .. import VERSION
@lru_cache
def version():
    import bundle_here.deep.leaf as self
    from bundle_here import VERSION as again
    return VERSION + again + self.STEP
STEP = 100
""",
}
Run = Callable[[str], dict[str, Any]]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a notebook in a folder with these files; its modules are forgotten afterwards."""
    for name, text in FILES.items():
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "work")
    yield notebook
    for name in [name for name in sys.modules if "_here" in name]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore::cellnode.NotPinned")
def test_a_module_comes_back_as_it_is_now_and_in_its_place(tmp_path: Path, beside: Run) -> None:
    state = (
        "import helpers_here as h\nh.other.OFFSET = 20\nh.scaled(1)\nfrom helpers_here import Model"
    )

    made = pinned(beside(state), tmp_path)

    cell = """
import helpers_here, helpers_other_here
answer = [h.scaled(1.5), h.table, h.DEFAULT.predict(1), Model is helpers_here.Model,
          type(h.DEFAULT) is Model, h is helpers_here, helpers_other_here.offset()]
helpers_other_here.OFFSET = 0
answer.append(h.scaled(1))
"""
    assert answer(made, cell) == [21, {"seen": 4}, 42, True, True, True, 20, 1]


@pytest.mark.filterwarnings("ignore::cellnode.NotPinned")
def test_what_uses_one_module_lies_together_with_it(tmp_path: Path, beside: Run) -> None:
    state = "from helpers_here import Model, scaled, table\nmodel = Model(3)\nalone = [1]"

    made = pinned(beside(state), tmp_path)

    assert {"Model", "scaled", "table", "model"} in groups(made)
    assert {"alone"} in groups(made)
    cell = "answer = [model.predict(1), table['seen'], isinstance(model, Model)]"
    assert answer(made, cell) == [33, 1, True]


def test_a_package_comes_with_its_parents_and_relative_imports(tmp_path: Path, beside: Run) -> None:
    made = pinned(beside("from bundle_here.deep.leaf import version"), tmp_path)

    assert answer(made, "import bundle_here.deep; answer = [version(), bundle_here.VERSION]") == [
        106,
        3,
    ]


def test_what_of_a_module_cannot_be_pinned_is_named_and_left_out(
    tmp_path: Path, beside: Run
) -> None:
    with pytest.warns(NotPinned, match=r"helpers_here\.lock: TypeError") as told:
        made = pinned(beside("import helpers_here"), tmp_path)

    assert len(told) == 1
    assert answer(made, "answer = [helpers_here.scaled(1), hasattr(helpers_here, 'lock')]") == [
        11,
        False,
    ]


@pytest.mark.filterwarnings("ignore::cellnode.NotPinned")
def test_a_fresh_process_elsewhere_loads_it(tmp_path: Path, beside: Run) -> None:
    made = pin("model", namespace=beside("import helpers_here"), store=tmp_path / "store")

    assert answer(made, "answer = helpers_here.scaled(1)") == 11


def test_installed_modules_and_those_of_the_standard_library_stay_names(
    tmp_path: Path, beside: Run
) -> None:
    made = pinned(beside("import json, numpy as np, pytest\nfrom numpy import linalg"), tmp_path)

    assert {each["module"] for each in made.manifest["modules"]} == {
        "json", "numpy", "numpy.linalg", "pytest",
    }  # fmt: skip
    assert made.manifest["groups"] == []


@pytest.mark.parametrize("name", ["cloudpickle", "pytest", "numpy"])
def test_a_distribution_that_declares_no_modules_is_known_by_its_files(name: str) -> None:
    """As on Python 3.10, whose own function knows only what is declared."""
    tops = _tops_of(distribution(name))

    assert name in tops
    assert name in distributions_by_module()
