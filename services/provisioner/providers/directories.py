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
from services.provisioner.providers import Lifetime
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
        self._write("instance.json", description)

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

    def exit(self, otherwise_at: datetime) -> Exit:
        """How the agent ended, as its keeper wrote it down; nothing known but when, if not."""
        written = _read(self.path / "exit.json")
        lines = last_lines(self.log)
        with contextlib.suppress(ValueError):
            return Exit.model_validate({**written, "last_lines": lines})
        return Exit(at=otherwise_at, last_lines=lines)

    def note_seen(self, now: datetime) -> None:
        """The agent lives: remembered for the case that nobody tells when it ended."""
        with contextlib.suppress(OSError):
            os.utime(self.path / "agent.pid", (now.timestamp(), now.timestamp()))

    def last_seen_at(self, otherwise_at: datetime) -> datetime:
        """The last sign of life of its agent: seen, or heard in the log."""
        signs = [_changed_at(self.path / name) for name in ("agent.pid", "log")]
        return max((sign for sign in signs if sign is not None), default=otherwise_at)

    def created_at(self) -> datetime | None:
        """When its keeper made the agent; None if it never did."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return datetime.fromisoformat(_read(self.path / "agent.pid")["at"])
        return None

    def lifetime(self, ended_at: datetime) -> Lifetime | None:
        """Of an agent that has ended. `ended_at` stands where nobody has written when, and is
        written then, so that it is told alike again."""
        if (created_at := self.created_at()) is None:
            return None
        exit = self.exit(ended_at)
        if not self.has_exit():
            self._write("exit.json", exit.model_dump(mode="json", exclude={"last_lines"}))
        return Lifetime(min(created_at, exit.at), exit)

    def _write(self, name: str, document: dict[str, Any]) -> None:
        """Whole: whoever reads it never sees a half."""
        fresh = self.path / f"{name}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as file:
            json.dump(document, file)
        fresh.rename(self.path / name)

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


def _changed_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    except OSError:
        return None


def _make_removable(path: Path) -> None:
    """The cell may have taken our rights away from folders in its working directory."""
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
