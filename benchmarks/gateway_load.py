"""The processes of who calls gateways: a plain balancer before them, and an open-loop load."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tests.servers.process import LOOPBACK, ServerProcess, free_port, listens
from tests.sources import ROOT


class Balancer(ServerProcess):
    """In front of the gateways, or of Redis, where stopping it cuts a gateway off."""

    name = "balancer"

    def __init__(self, ports: list[int]) -> None:
        super().__init__()
        self.port, self._backends = free_port(), [str(port) for port in ports]
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def command(self) -> list[str]:
        module = [sys.executable, "-P", "-m", "benchmarks.tcp_balancer"]
        return [*module, str(self.port), *self._backends]

    def answers(self) -> bool:
        return listens(self.port)


class Load(ServerProcess):
    """A steady open-loop load; what it has seen is told at its end."""

    name = "load"

    def __init__(self, port: int, node: str, rate: float) -> None:
        super().__init__()
        self._words = [f"{LOOPBACK}:{port}", node, f"{rate:g}"]
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", "benchmarks.open_load", *self._words]

    def answers(self) -> bool:
        return True

    def ended(self) -> dict[str, Any]:
        self.stop()
        return dict(json.loads(self.log().splitlines()[-1]))
