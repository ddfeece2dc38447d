"""A service of cellnode as a process of its own, as a container runs it: settings, nothing else."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from tests.e2e.waiting import until
from tests.servers.process import LOOPBACK, ServerProcess, free_port
from tests.sources import ROOT

ASK_SECONDS_MAX = 3.0
READY_SECONDS_MAX = 60.0


class ServiceProcess(ServerProcess):
    """Entered, it listens; `until_ready` waits until it says that it is ready."""

    ready_line = '"event": "listening"'

    def __init__(self, service: str, settings: Mapping[str, str], *, port: int = 0) -> None:
        self.name = service
        super().__init__()
        self.port = port or free_port()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CELLNODE_DATA": str(self.directory / "data"),
            f"CELLNODE_{service.upper()}_LISTEN": self.address,
            **settings,
        }

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", f"services.{self.name}"]

    def answers(self) -> bool:
        return self.get("/livez")[0] == 200

    def get(self, page: str) -> tuple[int, bytes]:
        """Status and body; status 0 if nobody answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=ASK_SECONDS_MAX)
        try:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def conditions(self) -> dict[str, str]:
        """What it waits for, in its own words; nothing once all is met."""
        _, body = self.get("/readyz")
        told: dict[str, Any] = json.loads(body or b"{}")
        unmet = (one for one in told.get("conditions", ()) if not one["met"])
        return {one["name"]: one["sentence"] for one in unmet}

    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def until_ready(self) -> None:
        try:
            until(f"{self.name} is ready", self.is_ready, seconds=READY_SECONDS_MAX)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.conditions()}; {self._quoted(0)}") from None
