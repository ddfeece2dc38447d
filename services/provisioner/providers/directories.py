"""The directory of one local instance: what the provider writes, what its keeper leaves there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from schemas.instances import Exit
from services.provisioner.providers.processes import Process, named

SOCKET_PATH_BYTES_MAX = 100  # The kernel takes 107; some are left for what a path grows by.
LAST_LINES_MAX = 20
LAST_BYTES_MAX = 8 * 1024
_FILE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True)
class InstanceDirectory:
    """Its name is the instance's id."""

    path: Path

    @property
    def instance(self) -> str:
        return self.path.name

    @property
    def log(self) -> Path:
        return self.path / "log"

    def make(self) -> Path:
        """An empty directory that only its owner may read; returns the socket's path."""
        self.path.mkdir(mode=0o700, parents=True)
        (self.path / "work").mkdir(mode=0o700)
        socket = self.path / "agent.sock"
        if len(os.fsencode(socket)) <= SOCKET_PATH_BYTES_MAX:
            return socket
        short = os.environ.get("XDG_RUNTIME_DIR", "")
        parent = short if short and len(os.fsencode(short)) <= SOCKET_PATH_BYTES_MAX // 2 else None
        return Path(tempfile.mkdtemp(prefix="cellnode-", dir=parent)) / "agent.sock"

    def describe(self, description: dict[str, Any]) -> None:
        """Write `instance.json` whole: whoever reads it never sees a half."""
        fresh = self.path / "instance.json.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as file:
            json.dump(description, file)
        fresh.rename(self.path / "instance.json")

    def description(self) -> dict[str, Any]:
        """What was written before the start; empty if it is missing or damaged."""
        return _read(self.path / "instance.json")

    def agent(self) -> Process | None:
        """The agent, if it was started and lives."""
        written = _read(self.path / "agent.pid")
        try:
            return named(int(written["pid"]), int(written["start_time"]))
        except (KeyError, TypeError, ValueError):
            return None

    def has_agent(self) -> bool:
        """Whether an agent was ever started."""
        return (self.path / "agent.pid").exists()

    def has_exit(self) -> bool:
        return (self.path / "exit.json").exists()

    def exit(self, now: datetime) -> Exit:
        """How the agent ended, as its keeper wrote it down; nothing known if it did not."""
        written = _read(self.path / "exit.json")
        lines = last_lines(self.log)
        with contextlib.suppress(ValueError, OSError):
            at = (self.path / "exit.json").stat().st_mtime  # The keeper's own has whole seconds.
            known = {**written, "at": datetime.fromtimestamp(at, timezone.utc)}
            return Exit.model_validate({**known, "last_lines": lines})
        return Exit(at=now, last_lines=lines)

    def remove(self) -> None:
        """Take away everything, the short directory of a far socket included."""
        socket = Path(str(self.description().get("socket", "")))
        if socket.parent != self.path and socket.parent.name.startswith("cellnode-"):
            shutil.rmtree(socket.parent, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            _make_removable(self.path)
            shutil.rmtree(self.path)


def last_lines(log: Path) -> tuple[str, ...]:
    """The end of a log, bounded in lines and bytes."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES_MAX))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(text.splitlines()[-LAST_LINES_MAX:])


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_FILE_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _make_removable(path: Path) -> None:
    """The cell may have taken our rights away from folders in its working directory."""
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
