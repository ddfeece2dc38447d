"""A reader who does what a page says: in a shell, and in a notebook beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cellnode
from tests.cellnode.notebook.kernel import Kernel
from tests.docs.pages import Block, Typed, is_like, typed
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.sources import ROOT

COMMANDS_SECONDS_MAX = 90.0
END = "\x1e"  # Printed after each command; pages do not hold it.
DATA = "~/.cellnode"


class Reader:
    """One page's reader: a folder that looks like the checkout, and one running system."""

    def __init__(self, folder: Path, system: System) -> None:
        self._folder = folder
        self._places = {
            "127.0.0.1:8080": ":".join(map(str, system.gateway)),
            "127.0.0.1:9092": system.kafka,
            DATA: str(system.data),
        }
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CELLNODE_DATA": str(system.data),
            "HOME": str(folder),
            "IPYTHONDIR": str(folder / ".ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        self._kernel: Kernel | None = None
        self._shown = ""
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / ".venv").symlink_to(sys.prefix)

    def does(self, block: Block) -> None:
        """What the page asks for; AssertionError says which place is wrong."""
        if block.file:
            (self._folder / block.file).write_text(self._here(block.text))
        elif block.language == "console":
            self._types(block)
        elif block.language == "python":
            self._runs(block)
        elif block.language == "text":
            assert is_like(self._shown, block.text), f"{block.place}: shown is\n{self._shown}"
        elif block.language == "json":
            json.loads(block.text)

    def closes(self) -> None:
        """The next page's reader finds nothing of this one's nodes."""
        if self._kernel is not None:
            self._kernel.stop()
        with cellnode.connect(f"http://{self._places['127.0.0.1:8080']}") as client:
            names = [each.node for each in client.nodes()]
            for name in names:
                client.node(name).delete(wait=False)
            for name in names:
                until(f"{name} is gone", lambda: name not in _nodes(client))  # noqa: B023

    def _types(self, block: Block) -> None:
        commands = typed(block)
        script = "".join(f"{one.command}\nprintf '{END}'\n" for one in commands)
        ran = subprocess.run(
            ["bash", "-e", "-c", f"exec 2>&1\n{self._here(script)}"],
            cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=COMMANDS_SECONDS_MAX,
        )  # fmt: skip
        said = ran.stdout.split(END)
        for one, printed in zip(commands, said, strict=False):
            self._compare(block, one, self._there(printed))
        assert ran.returncode == 0, f"{block.place}: ends with {ran.returncode}:\n{said[-1]}"

    def _compare(self, block: Block, one: Typed, printed: str) -> None:
        if one.printed.strip():
            told = f"{block.place}: {one.command}\nprints\n{printed}"
            assert is_like(printed, one.printed), told

    def _runs(self, block: Block) -> None:
        if self._kernel is None:
            self._kernel = Kernel(self._environment, str(self._folder))
        ran = self._kernel.run(self._here(block.text))
        assert ran.status == "ok", f"{block.place}: {_plain(ran.error)}"
        last = ran.last_text if ran.bundles else ""
        self._shown = self._there(_plain(ran.stdout + last))

    def _here(self, text: str) -> str:
        for written, real in self._places.items():
            text = text.replace(written, real)
        return text

    def _there(self, text: str) -> str:
        for written, real in self._places.items():
            text = text.replace(real, written)
        return text


def _nodes(client: cellnode.Client) -> set[str]:
    return {each.node for each in client.nodes()}


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@contextmanager
def reader(folder: Path, system: System) -> Iterator[Reader]:
    made = Reader(folder, system)
    try:
        yield made
    finally:
        made.closes()
