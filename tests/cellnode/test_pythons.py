"""The SDK under every Python that a notebook may have."""

import os
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.cellnode.site import answer, serving
from tests.runtime.test_pythons import NAMES, python_of
from tests.sources import ROOT

pytestmark = pytest.mark.full

# All pure Python, so that any of them can use our copies.
HTTP = ("httpx2", "httpcore2", "anyio", "h11", "idna", "truststore", "typing_extensions")
# The HTTP library needs one package more before Python 3.11; it is not among ours.
WITH_HTTP = [name for name in NAMES if name != "python3.10"]
ALONE = """
import sys, importlib
for name in ("calling", "client", "deploying", "documents", "errors", "events", "files", "marks",
             "models", "needs", "node", "origin", "pin_for", "signature", "sources", "streaming",
             "telling", "uploading", "values", "watching", "http_asking"):
    importlib.import_module(f"cellnode.{name}")
from cellnode.documents import time_of
from cellnode.files import build
assert time_of("2026-05-04T12:00:00.1234567Z").microsecond == 123456
(built,) = build(sys.argv[1])
assert [each["name"] for each in built.pin.manifest["variables"]] == ["k"], built.pin
print(built.mark.node)
"""
CALL = """
import asyncio, sys, cellnode
node = cellnode.connect(sys.argv[1]).node("a")
print(node.call(x=1), asyncio.run(node.call_async(x=1)))
"""


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """A folder with nothing but what the SDK needs."""
    for package in ("cloudpickle", *HTTP):
        for file in distribution(package).files or ():
            if file.suffix != ".pyc" and ".." not in file.parts:
                target = tmp_path / "site" / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    return tmp_path / "site"


def run(python: str, site: Path, program: str, argument: str) -> str:
    done = subprocess.run(
        [python, "-c", program, argument],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{site}",
            "CELLNODE_STORE": str(site.parent / "store"),
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_built_into_a_pin(name: str, tmp_path: Path, site_packages: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("k = 2\n# %% [node] double --inputs x --outputs y\ny = x * k\n")

    assert run(python_of(name), site_packages, ALONE, str(script)) == "double"


@pytest.mark.parametrize("name", WITH_HTTP)
def test_a_node_is_called(name: str, site_packages: Path) -> None:
    with serving(answer({"output": {"y": 2}})) as site:
        told = run(python_of(name), site_packages, CALL, site.url)

    assert told == "{'y': 2} {'y': 2}"
