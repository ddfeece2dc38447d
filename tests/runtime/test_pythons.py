"""The interpreter runs under the Python that made the pin, whichever it is."""

import json
import os
import shutil
import subprocess
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.runtime.instances import ROOT, Instances

# Beside the one that runs the tests: on PATH, of pyenv, or named by CELLNODE_TEST_PYTHONS
# (separated by colons).
NAMES = ("python3.10", "python3.12", "python3.13", "python3.14")
PIN = """
import json, sys
from cellnode import pin
factor = 3
def scaled(v):
    return [factor * each for each in v]
made = pin("other", store=sys.argv[1], check=False)
print(json.dumps({"digest": made.digest, "version": made.manifest["python"]["version"]}))
"""


def works(path: str) -> bool:
    try:
        return subprocess.run([path, "-c", ""], capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


def python_of(name: str) -> str:
    """The path of this Python; skips, saying so, where the machine has none."""
    given = os.environ.get("CELLNODE_TEST_PYTHONS", "").split(":")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    versions = map(str, sorted(pyenv.glob(f"versions/*/bin/{name}")))
    candidates = [*given, shutil.which(name) or "", *versions]
    for path in candidates:
        if Path(path).name == name and works(path):
            return path
    pytest.skip(f"no working {name} on PATH, of pyenv or in CELLNODE_TEST_PYTHONS")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with nothing but cloudpickle, which is pure Python, for any of them."""
    for file in distribution("cloudpickle").files or ():
        if file.suffix != ".pyc" and ".." not in file.parts:
            target = tmp_path / "site" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), target)
    return tmp_path / "site"


@pytest.mark.parametrize("name", NAMES)
def test_a_pin_of_another_python_is_served_by_that_python(
    instances: Instances, site: Path, name: str
) -> None:
    python = python_of(name)
    done = subprocess.run(
        [python, "-c", PIN, str(instances.store)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{site}"},
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    made = json.loads(done.stdout)
    cell = "import sys\nfactor += 1\ny = scaled(x)\nversion = sys.version.split()[0]"

    instance = instances.start(
        cell, checkpoint=made["digest"], python=python, env={"PYTHONPATH": str(site)},
        inputs=["x"], outputs=["y", "version"],
    ).ready()  # fmt: skip

    assert instance.output({"x": [1, 2]}) == {"y": [4, 8], "version": made["version"]}
    assert instance.execute({"x": 1}).json["exception"] == "TypeError"
    assert f"{name.removeprefix('python')}." in made["version"]


@pytest.mark.parametrize("name", NAMES)
def test_another_python_than_the_pins_is_refused(instances: Instances, name: str) -> None:
    python = python_of(name)

    document = instances.start("y = 1", python=python).until_phase("failed", "ready")

    assert document["reason"] == "PYTHON_MISMATCH"
    assert "the node has CPython " + name.removeprefix("python") in document["sentence"]


def test_a_python_without_cloudpickle_is_refused_by_name(
    instances: Instances, tmp_path: Path
) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    with_function = instances.pin("def f(): return 1")
    plain = instances.pin("numbers = [1, 2]")

    refused = instances.start("y = f()", checkpoint=with_function.digest, python=python)
    served = instances.start(
        "y = sum(numbers)", checkpoint=plain.digest, python=python, outputs=["y"]
    )

    assert refused.until_phase("failed")["reason"] == "PACKAGE_MISSING"
    assert "cloudpickle" in refused.phase()["sentence"]
    assert served.ready().output() == {"y": 3}
