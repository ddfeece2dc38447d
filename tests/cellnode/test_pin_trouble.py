"""Values that resist being pinned: they alone are left out, or the error says what to do."""

import py_compile
import sys
from pathlib import Path

import pytest

from cellnode import NotPinned, PinError, Store, StoreError, pin
from tests.cellnode.test_pin import answer, notebook, pinned


def test_values_whose_own_code_fails_are_left_out_alone(tmp_path: Path) -> None:
    state = """
class Odd(dict):
    def items(self): raise ValueError('not now')
odd = Odd(a=1)
good = 1
"""
    with pytest.warns(NotPinned, match="odd: ValueError: not now"):
        made = pinned(notebook(state), tmp_path)

    assert {each["name"] for each in made.manifest["variables"]} == {"Odd", "good"}


def test_a_proxy_of_nothing_does_not_stop_the_pin(tmp_path: Path) -> None:
    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            raise RuntimeError("working outside of a context")

        def __reduce__(self) -> str:
            raise RuntimeError("working outside of a context")

    with pytest.warns(NotPinned, match="proxy: RuntimeError"):
        made = pinned({"proxy": Proxy(), "good": 1}, tmp_path)

    assert [each["name"] for each in made.manifest["variables"]] == ["good"]


def test_a_cached_property_comes_back_cached(tmp_path: Path) -> None:
    state = """
import functools
class Model:
    runs = 0
    @functools.cached_property
    def score(self):
        Model.runs += 1
        return 7
model = Model()
"""
    made = pinned(notebook(state), tmp_path)

    assert answer(made, "answer = [model.score, model.score, Model.runs]") == [7, 7, 1]


def test_a_compiled_module_beside_the_notebook_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.py"
    source.write_text("def helper(): return 1")
    py_compile.compile(str(source), str(tmp_path / "beside_the_notebook.pyc"))
    monkeypatch.syspath_prepend(tmp_path)
    namespace = notebook("import beside_the_notebook")

    with pytest.raises(
        PinError, match=r"'beside_the_notebook'; instances see .*install the module"
    ):
        pin("model", namespace=namespace, store=tmp_path / "store")

    assert not (tmp_path / "store" / "pins").exists()
    del sys.modules["beside_the_notebook"]


def test_a_load_that_ends_its_process_is_told(tmp_path: Path) -> None:
    state = """
import os
class Fatal:
    def __getstate__(self): return 1
    def __setstate__(self, state): os._exit(4)
fatal = Fatal()
"""
    with pytest.raises(PinError, match="ended with 4; leave out"):
        pinned(notebook(state), tmp_path, check=True)


def test_a_store_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("a file, no directory")

    with pytest.raises(StoreError, match=f"cannot write to the store {store} .*another directory"):
        pinned({"a": 1}, store)


def test_a_damaged_record_of_a_pin_is_named(tmp_path: Path) -> None:
    pinned({"a": 1}, tmp_path)
    Store(tmp_path).pin_path("default", "model").write_text("{broken")

    with pytest.raises(StoreError, match=r"default/model\.json is damaged; remove the file"):
        pinned({"a": 1}, tmp_path)


def test_a_damaged_blob_is_refused_with_the_remedy(tmp_path: Path) -> None:
    made = pinned({"a": 1}, tmp_path)
    blob = Store(tmp_path).blob_path(made.manifest["groups"][0]["blob"]["sha256"])
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[::-1])

    with pytest.raises(PinError, match=r"are damaged\. Remove it from the store"):
        pinned({"a": 1}, tmp_path, check=True)
