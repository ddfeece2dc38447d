"""What `make` says on a machine that lacks something, before it installs anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

NEEDED = ("awk", "cat", "date", "dirname", "make", "printf", "rm", "sh", "tr", "uname")
NO_ENSUREPIP = "import sys\nsys.modules['ensurepip'] = None\n"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout's front door on a machine whose PATH has little more than make."""
    for name in ("Makefile", ".ci/setup", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in NEEDED:
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    return tmp_path


def make(bare: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=bare, env={"PATH": str(bare / "programs"), **environment},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_make_alone_lists_every_target(bare: Path) -> None:
    listed = make(bare).stdout

    for target in ("demo", "up", "check", "test", "test-all", "bench-lifecycle", "bench-gateway"):
        assert f"make {target} " in listed


def test_a_missing_python_is_named_with_the_way_out(bare: Path) -> None:
    done = make(bare, "check")

    assert done.returncode != 0
    assert "there is no 'python3' here" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_that_is_too_old_is_named_with_its_version(bare: Path) -> None:
    script(bare / "programs" / "python3", 'test "$1" = -V && echo Python 3.9.2')

    done = make(bare, "check")

    assert done.returncode != 0
    assert "'python3' is Python 3.9.2" in done.stderr


def test_a_debian_without_venv_gets_the_line_to_type(bare: Path) -> None:
    """Debian's python3 alone has no ensurepip; the same is arranged for the Python at hand."""
    (bare / "sitecustomize.py").write_text(NO_ENSUREPIP)
    os.symlink(sys.executable, bare / "programs" / "python3")

    done = make(bare, "check", PYTHONPATH=str(bare))

    assert done.returncode != 0
    assert "\n    apt-get install -y python3-venv\n" in done.stderr
    assert not (bare / ".venv").exists()
