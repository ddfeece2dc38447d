"""Who owns the instances of this host: the installation, the host and its present boot."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from services.chassis.clock import Clock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_INSTALLATION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Identity:
    """Names that tell our instances from those of others."""

    installation: str
    host: str
    boot: str


def identity(data: Path, clock: Clock) -> Identity:
    """Of this data directory on this host; the installation's id is made at the first start."""
    return Identity(_installation(data / "installation", clock), socket.gethostname(), boot_id())


def boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _installation(path: Path, clock: Clock) -> str:
    """Linked into place whole, so that of two first starts one wins and both read the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(clock.token())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    known = path.read_text().strip()
    if not _INSTALLATION.fullmatch(known):
        raise ValueError(f"{path} holds no installation id; restore or remove it")
    return known
