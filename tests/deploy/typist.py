"""Somebody who types what the guide says, into a copy of the checkout, at the Engine's machine."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.engine import Engine
from tests.docs.pages import Block, blocks, is_like, typed
from tests.sources import ROOT, tracked

GUIDE = ROOT / "docs" / "guides" / "deploy-with-compose.md"
BLOCK_SECONDS_MAX = 300.0
END = "\x1e"  # Printed after each command; pages do not hold it.
BUILT_FROM = ("schemas/", "services/", "runtime/", "deploy/", ".dockerignore")
# What there is no image for is left out.
ABSENT = "services:\n{}"
# Compose's first version has no `--wait`: then the health checks are asked here.
FIRST_COMPOSE = """#!/bin/sh
[ "$1" = compose ] || exec {docker} "$@"
shift
waits=
for one; do
    shift
    [ "$one" = --wait ] && waits=1 || set -- "$@" "$one"
done
docker-compose "$@" || exit
[ -n "$waits" ] || exit 0
for second in $(seq 120); do
    [ -n "$({docker} ps -q --filter health=starting)" ] || break
    sleep 1
done
[ -z "$({docker} ps -q --filter health=starting --filter health=unhealthy)" ]
"""


class Typist:
    """A folder like a checkout's, a shell in its `deploy/`."""

    def __init__(self, engine: Engine, folder: Path, absent: list[str]) -> None:
        self._engine, self._folder = engine, folder
        for path in tracked():
            place = path.relative_to(ROOT).as_posix()
            if place.startswith(BUILT_FROM):
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        left_out = "".join(f"  {name}: {{profiles: [absent]}}\n" for name in absent)
        (folder / "absent.yaml").write_text(ABSENT.format(left_out))
        self._environment = {
            **os.environ,
            **engine.addressed(),
            "PATH": f"{self._commands()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG", str(Path.home() / ".docker")),
            "CELLNODE_DATA": str(folder / "none"),
            "COMPOSE_FILE": f"compose.yaml:{folder / 'absent.yaml'}",
            "FILES_MAX": str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        }

    def types_until(self, heading: str) -> None:
        """Every block of the guide from its start to the heading."""
        for block in _before(heading):
            self.does(block)

    def types_after(self, heading: str) -> None:
        """The rest of it."""
        before = len(list(_before(heading)))
        for block in blocks(GUIDE)[before:]:
            self.does(block)

    def types(self, command: str) -> None:
        """A command that the guide has in words only; it must succeed."""
        self.does(Block("the test", "console", "", f"$ {command}\n"))

    def writes(self, file: str, text: str) -> None:
        (self._folder / "deploy" / file).write_text(text)

    def does(self, block: Block) -> None:
        if block.file:
            self.writes(block.file, block.text)
        elif block.language == "console":
            self._types(block)

    def _types(self, block: Block) -> None:
        commands = typed(block)
        script = "".join(f"{one.command}\nprintf '{END}'\n" for one in commands)
        ran = subprocess.run(
            [*self._engine.inside(), "bash", "-e", "-c", f"exec 2>&1\n{script}"],
            cwd=self._folder / "deploy", env=self._environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=BLOCK_SECONDS_MAX, check=False,
        )  # fmt: skip
        said = ran.stdout.split(END)
        for one, printed in zip(commands, said, strict=False):
            told = f"{block.place}: {one.command}\nprints\n{printed}"
            assert not one.printed.strip() or is_like(printed, one.printed), told
        assert ran.returncode == 0, (
            f"{block.place}: ends with {ran.returncode}:\n{said[-1][-4000:]}"
        )

    def _commands(self) -> Path:
        """A `docker` that has `compose`, whichever of its versions is here."""
        folder = self._folder / "bin"
        folder.mkdir()
        if not has_compose_plugin():
            docker = folder / "docker"
            docker.write_text(FIRST_COMPOSE.format(docker=shutil.which("docker")))
            docker.chmod(0o755)
        return folder


def has_compose_plugin() -> bool:
    asked = ["docker", "compose", "version"]
    return subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode == 0


def guide_file(name: str) -> str:
    """A file that the guide has its reader save."""
    return next(block.text for block in blocks(GUIDE) if block.file == name)


def _before(heading: str) -> Iterator[Block]:
    lines = GUIDE.read_text().splitlines()
    ends_at = lines.index(f"## {heading}") + 1
    for block in blocks(GUIDE):
        if int(block.place.rpartition(":")[2]) < ends_at:
            yield block
