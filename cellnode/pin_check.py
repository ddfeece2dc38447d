"""Load a checkpoint once in a fresh process, before anybody relies on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cellnode.errors import PinError

CHECK_SECONDS_MAX = 600
NOT_INSTALLED = (
    "instances see installed packages, and modules beside the notebook if these are source files: "
    "install the module as a package, or leave it out by naming the variables to pin"
)


def interpreter_directory() -> Path:
    """Where the interpreter lies: in the wheel, or beside this package in a checkout."""
    here = Path(__file__).resolve().parent
    for parent in (here / "_server", here.parent):
        if (parent / "runtime" / "interpreter" / "__main__.py").is_file():
            return parent / "runtime" / "interpreter"
    raise PinError("the interpreter of cellnode is not installed; install cellnode again")


def check_loads(store: Path, digest: str) -> None:
    """Load it as an instance would: what fails here would fail there."""
    paths = str(interpreter_directory()), str(store)
    command = [sys.executable, paths[0], "check", paths[1], digest]
    # An instance does not see where the notebook's shell finds further modules.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, timeout=CHECK_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise PinError(f"loading took more than {CHECK_SECONDS_MAX} seconds") from None
    try:
        result = json.loads(done.stdout)
    except ValueError:
        text = done.stderr.decode(errors="replace")[-2000:]
        raise PinError(
            f"a fresh process that loaded it ended with {done.returncode}; "
            f"leave out what ends it by naming the variables to pin\n{text}".rstrip()
        ) from None
    if not result["ok"]:
        trace = result["evidence"].get("traceback", "")
        remedy = ""
        if result["reason"] == "CHECKPOINT_DAMAGED":
            remedy = f" Remove it from the store {store} and pin again."
        elif "ModuleNotFoundError" in result["sentence"]:
            remedy = f"; {NOT_INSTALLED}"
        told = f"a fresh process cannot load it: {result['sentence']}{remedy}"
        raise PinError(f"{told}\n{trace}".rstrip())
