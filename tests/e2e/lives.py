"""The truth about instances, from the kernel: when each agent began, and when it ended."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.waiting import until

LOOK_SECONDS = 0.02


class Lives:
    """Watches a node's processes while it is entered; looks every few milliseconds."""

    def __init__(self, system: System, node: str) -> None:
        self._system, self._node = system, node
        self._agents: dict[str, int] = {}
        self.begun: dict[str, float] = {}  # By instance, in seconds since the epoch.
        self.ended: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lives", daemon=True)

    def __enter__(self) -> Lives:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(10)

    def seconds(self) -> dict[str, float]:
        """How long each has lived, whoever lives until now."""
        now = time.time()
        return {one: self.ended.get(one, now) - begun for one, begun in self.begun.items()}

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            for record in (self._system.data / "instances").glob(f"{self._node}-*/agent.pid"):
                if record.parent.name not in self.begun:
                    self._meet(record)
            for instance, pid in self._agents.items():
                if instance not in self.ended and not is_alive(pid):
                    self.ended[instance] = time.time()

    def _meet(self, record: Path) -> None:
        with contextlib.suppress(OSError, ValueError):
            pid = int(json.loads(record.read_text())["pid"])
            self.begun[record.parent.name] = began_at(pid)
            self._agents[record.parent.name] = pid


def began_at(pid: int) -> float:
    """A process's start, to the kernel's tick."""
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def is_alive(pid: int) -> bool:
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def metered_by_bus(kafka: str, node: str) -> dict[str, float]:
    """As an outside reader of `usage` sums it up: of two words on one hour the larger is right."""
    with Follower(kafka, "cellnode.usage") as usage:
        until("usage is there", lambda: told_of(usage, node))
        time.sleep(0.5)
        hours: dict[tuple[str, str], float] = {}
        for one in told_of(usage, node):
            key = (one["instance"], one["hour"])
            hours[key] = max(one["seconds"], hours.get(key, 0.0))
    found: dict[str, float] = {}
    for (instance, _), seconds in hours.items():
        found[instance] = found.get(instance, 0.0) + seconds
    return found


def told_of(usage: Follower, node: str) -> list[dict[str, Any]]:
    values = [one.value for one in usage.seen() if one.value is not None]
    return [one for one in values if one.get("node") == node]


def metered_by_http(system: System, node: str) -> dict[str, float]:
    """As the api sums it up; one that has just started has to read it first."""
    origin = "http://{}:{}".format(*system.gateway)
    asked = f"{origin}/v1/usage?node={node}&group_by=instance"
    page = until("usage is told", lambda: _json_of(asked))
    return {one["instance"]: one["seconds"] for one in page["items"]}


def _json_of(asked: str) -> dict[str, Any] | None:
    with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=10) as answer:
        return dict(json.load(answer))
    return None


def largest_difference(metered: dict[str, float], lives: dict[str, float]) -> float:
    """Of one instance, in seconds; whoever is told of on one side alone differs by all of it."""
    return max(abs(metered.get(one, 0.0) - lives.get(one, 0.0)) for one in metered | lives)
