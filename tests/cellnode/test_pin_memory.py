"""Arrays that overlap in memory do so after a restore, and nothing is stored twice for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cellnode.pin_memory import Extent
from tests.cellnode.test_pin import answer, groups, notebook, pinned

SEES = "a.flat[{}] = 99; answer = [bool(np.shares_memory(a, b)), int(b.flat[{}])]"
LINKED = {
    "a slice": ("a = np.arange(5000); b = a[10:20]", 12, 2),
    "a slice backwards": ("a = np.arange(5000); b = a[::-1]", 0, -1),
    "every second": ("a = np.arange(5000); b = a[1::2]", 3, 1),
    "a transposed one": ("a = np.arange(6000).reshape(60, 100); b = a.T", 1, 60),
    "a column of what Fortran wrote": (
        "a = np.asfortranarray(np.arange(6000).reshape(60, 100)); b = a[:, 1]",
        1,
        0,
    ),
    "other axes": ("a = np.arange(600).reshape(2, 20, 15).transpose(1, 0, 2); b = a[1]", 30, 0),
    "another shape": ("a = np.arange(6000); b = a.reshape(60, 100)", 101, 101),
    "of what has no name": ("x = np.arange(6000); a, b = x[:300], x[200:]; del x", 250, 50),
    "a small one": ("a = np.arange(9); b = a[3:]", 4, 1),
    "inside of other variables": ("x = np.arange(5000); m = {'w': x}; k = [x[5:]]; del x", None, 0),
}  # fmt: skip


@pytest.mark.parametrize(("state", "written", "seen"), LINKED.values(), ids=LINKED)
def test_what_is_written_to_one_is_seen_in_the_other(
    tmp_path: Path, state: str, written: int | None, seen: int
) -> None:
    made = pinned(notebook(f"import numpy as np\n{state}"), tmp_path)

    if written is None:
        cell = "a, b = m['w'], k[0]\n" + SEES.format(5, 0)
    else:
        cell = SEES.format(written, seen)
    assert answer(made, cell) == [True, 99]
    assert len(groups(made)) == 1


def test_shapes_types_and_rights_are_as_they_were(tmp_path: Path) -> None:
    state = """
import numpy as np
a = np.arange(6000, dtype='>i2').reshape(60, 100)
b = a[::3, ::-2]
c = np.broadcast_to(a[0], (7, 100))
d = a.view('u1')
e = a[:5]
e.flags.writeable = False
"""
    made = pinned(notebook(state), tmp_path)

    namespace = notebook(state)
    names = "abcde"
    facts = "[[list(v.shape), list(v.strides), v.dtype.str, bool(v.flags.writeable), v.tolist()]"
    cell = f"answer = {facts} for v in (a, b, c, d, e)]"
    exec(cell, namespace)
    assert answer(made, cell) == namespace["answer"]
    assert groups(made) == [set(names)]


def test_one_block_is_stored_for_all_that_lies_in_it(tmp_path: Path) -> None:
    state = (
        "import numpy as np\na = np.zeros(1_000_000)\na[:] = range(1_000_000)\nb, c = a[1:], a[::7]"
    )

    made = pinned(notebook(state), tmp_path)

    assert [len(group["buffers"]) for group in made.manifest["groups"]] == [1]
    assert made.written_bytes < 1.01 * 8_000_000


def test_only_what_is_between_views_is_stored_of_a_large_array(tmp_path: Path) -> None:
    state = "import numpy as np\nx = np.ones(1_000_000)\na, b, c = x[:10], x[5:20], x[-9:]\ndel x"

    made = pinned(notebook(state), tmp_path)

    assert made.written_bytes < 10_000
    assert answer(made, "a[6] = 7; answer = [b[1], float(c.sum())]") == [7, 9]


@settings(deadline=None)
@given(st.data())
def test_an_extent_is_where_the_elements_are(data: st.DataObject) -> None:
    array = np.zeros(tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))), "i4")
    view = array[tuple(data.draw(st.slices(n)) for n in array.shape)]
    assume(view.size)

    at = [view[where].__array_interface__["data"][0] for where in _places(view)]
    assert Extent.of(view) == Extent(min(at), max(at) + 4)


def _places(view: np.ndarray) -> list[tuple[slice, ...]]:
    return [tuple(slice(n, n + 1) for n in index) for index in np.ndindex(view.shape)]
