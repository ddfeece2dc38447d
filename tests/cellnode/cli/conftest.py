"""One running system for the tests of the command, and a pin that its nodes are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cellnode
from tests.cellnode.cli.terminal import Ended, here, in_terminal
from tests.e2e.system import System
from tests.e2e.system_running import leaving_nothing

GREETING = "greeting"
CELL = "print('greeting', name)\ntext = greet(name)"


@dataclass
class Shell:
    """A place to run the command from: it finds the system as a user's shell does."""

    system: System
    folder: Path

    @property
    def more(self) -> dict[str, str]:
        return {
            "CELLNODE_DATA": str(self.system.data),
            "CELLNODE_STORE": str(self.folder / "store"),
        }

    def run(self, *words: str, given: str = "") -> Ended:
        """Between pipes."""
        return here(*words, given=given, more=self.more)

    def terminal(
        self, *words: str, typed: str = "", once: str = "", more: dict[str, str] | None = None
    ) -> Ended:
        return in_terminal(*words, typed=typed, once=once, more={**self.more, **(more or {})})

    def json(self, *words: str, given: str = "") -> Any:
        """The document that it prints; the command has succeeded."""
        ended = self.run(*words, "--json", given=given)
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    def spec(self, node: str, **more: Any) -> str:
        """A spec file of a node that greets."""
        told = {"checkpoint": GREETING, "cell": CELL, "inputs": ["name"], "outputs": ["text"]}
        file = self.folder / f"{node}.json"
        file.write_text(json.dumps({"node": node, **told, **more}))
        return str(file)


@pytest.fixture(scope="package")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("cli")
    state: dict[str, Any] = {}
    exec("def greet(name):\n    return f'Hello {name}'", state)
    cellnode.pin(
        GREETING, ["greet"], namespace=state, store=folder / "store", upload=False, check=False
    )
    with leaving_nothing(System()) as system:
        yield Shell(system, folder)


@pytest.fixture
def deployed(shell: Shell) -> Iterator[Callable[..., str]]:
    """Deploys nodes that are removed after the test."""
    names: list[str] = []

    def deploy(name: str, **more: Any) -> str:
        names.append(name)
        assert shell.run("deploy", shell.spec(name, **more)).code == 0
        return name

    yield deploy
    for name in names:
        shell.run("rm", name, "--yes", "--no-wait")
