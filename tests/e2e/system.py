"""The whole system as a user starts it: `cellnode up` in a directory of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.waiting import until
from tests.sources import ROOT

START_SECONDS_MAX = 40.0
STOP_SECONDS_MAX = 20.0


class System:
    """One `cellnode up`. Its processes are found by whose children they are, and by directory."""

    def __init__(
        self, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self._arguments = tuple(arguments)
        self.data = Path(tempfile.mkdtemp(prefix="cn-"))
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, Any] = {}

    def start(self) -> None:
        command = [sys.executable, "-P", "-m", "cellnode", "up", "--data", str(self.data)]
        file = self.data / "addresses.json"
        file.unlink(missing_ok=True)
        with (self.data / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--gateway", "127.0.0.1:0", *self._arguments],
                env=self._environment,
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(
            "everything is ready",
            lambda: self._has_ended() or file.exists(),
            seconds=START_SECONDS_MAX,
        )
        assert not self._has_ended(), f"`cellnode up` ended:\n{self.said()}"
        self.addresses = json.loads(file.read_text())

    def _has_ended(self) -> bool:
        return self.launcher.poll() is not None

    @property
    def launcher(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def kafka(self) -> str:
        return str(self.addresses["kafka"])

    @property
    def redis_socket(self) -> str:
        return str(self.addresses["redis"]).removeprefix("unix://")

    @property
    def gateway(self) -> tuple[str, int]:
        host, _, port = str(self.addresses["gateway"]).removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def store(self) -> Path:
        return self.data / "store"

    def said(self) -> str:
        """What `up` printed."""
        return (self.data / "up.log").read_text()

    def log(self, service: str) -> str:
        return (self.data / "logs" / f"{service}.log").read_text()

    def service_pid(self, service: str) -> int:
        """Of the one that runs now; it changes when the launcher has started it again."""
        wanted = {"redis": b"valkey-server", "broker": b"services.embedded"}.get(
            service, f"services.{service}".encode()
        )
        return until(f"{service} runs", lambda: child_with(self.launcher.pid, wanted))

    def kill_service(self, service: str, number: signal.Signals = signal.SIGKILL) -> int:
        pid = self.service_pid(service)
        os.kill(pid, number)
        return pid

    def kill_agent(self, instance: str) -> None:
        """The agent alone: its keeper tells how it ended, its interpreters end with it."""
        os.kill(self.instance_pids(instance)["agent"], signal.SIGKILL)

    def restart(self, service: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a service and wait until the launcher has brought it back, ready."""
        old = self.kill_service(service, number)
        until(f"{service} is new", lambda: self.service_pid(service) != old)
        self.until_ready()

    def restart_broker(self) -> None:
        """End the bus, and wait until it and the services are back, at a new address."""
        old = self.kafka
        self.kill_service("broker")
        file = self.data / "addresses.json"
        until(
            "the bus is back",
            lambda: json.loads(file.read_text())["kafka"] != old,
            seconds=START_SECONDS_MAX,
        )
        self.addresses = json.loads(file.read_text())
        self.until_ready()

    def kill(self) -> None:
        """SIGKILL the launcher, and wait until everything that ends with it has ended."""
        names = ("redis", "broker", "provisioner", "health", "api", "gateway")
        services = [self.service_pid(name) for name in names]
        self.launcher.kill()
        self.launcher.wait(STOP_SECONDS_MAX)
        until("the services are gone", lambda: not self.is_running(*services))

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Ctrl-C; the seconds until the launcher was gone."""
        begun = time.monotonic()
        if not self._has_ended():
            self.launcher.send_signal(number)
        try:
            self.launcher.wait(STOP_SECONDS_MAX)
        finally:
            self.launcher.kill()
        return time.monotonic() - begun

    def traces(self) -> list[str]:
        return traces_of(self.data)

    def is_running(self, *pids: int) -> bool:
        """Whether any of these processes is left."""
        return any(pid in pids and arguments != [b""] for pid, arguments in running())

    def remove(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)

    def instance_pids(self, instance: str) -> dict[str, int]:
        """Of keeper, agent and interpreters: everything in the instance's session."""
        record = json.loads((self.data / "instances" / instance / "agent.pid").read_text())
        agent = int(record["pid"])
        return {"agent": agent, "group": os.getpgid(agent)}

    def kill_instance(self, instance: str, number: signal.Signals = signal.SIGKILL) -> None:
        os.killpg(self.instance_pids(instance)["group"], number)

    def instances_running(self) -> list[str]:
        """By process: the name of each instance once for every agent of it that runs."""
        root, found = os.fsencode(self.data / "instances") + b"/", []
        for pid, parts in running():
            names = {one[len(root) :].split(b"/")[0] for one in parts if one.startswith(root)}
            if b"runtime" in parts:
                found += [one.decode() for one in names if self._agent_of(one.decode()) == pid]
        return sorted(found)

    def _agent_of(self, instance: str) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            record = self.data / "instances" / instance / "agent.pid"
            return int(json.loads(record.read_text())["pid"])
        return None

    def signal_session(self, session: int, number: signal.Signals) -> None:
        os.killpg(session, number)

    def stopped_session_of(self, node: str) -> int | None:
        """Stop the first agent of the node that exists, with its group."""
        for record in (self.data / "instances").glob(f"{node}-*/agent.pid"):
            with contextlib.suppress(OSError, ValueError):
                session = os.getsid(int(json.loads(record.read_text())["pid"]))
                os.killpg(session, signal.SIGSTOP)
                return session
        return None

    def phase(self, instance: str) -> dict[str, Any]:
        """What the agent of the instance says of itself."""
        return dict(json.loads(self.agent_says(instance, "/phase")))

    def agent_says(self, instance: str, path: str) -> str:
        settings = json.loads((self.data / "instances" / instance / "instance.json").read_bytes())
        connection = http.client.HTTPConnection("instance", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(settings["socket"])
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def until_ready(self) -> None:
        """Every service answers 200 at /readyz."""
        for name, address in self.addresses["services"].items():
            until(f"{name} is ready", lambda at=address: is_ready(at))  # type: ignore[misc]


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def child_with(parent: int, word: bytes) -> int | None:
    """The child of this process with the word in one of its arguments."""
    for pid, arguments in running():
        if any(word in part for part in arguments) and _parent_of(pid) == parent:
            return pid
    return None


def running() -> list[tuple[int, list[bytes]]]:
    """Every living process of this machine with its arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found.append((int(folder.name), arguments))
    return found


def _parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def traces_of(data: Path) -> list[str]:
    """Processes that still work in or on the directory, and sockets left in it."""
    word = os.fsencode(data)
    processes = [
        f"process {pid}: {b' '.join(arguments).decode(errors='replace')}"
        for pid, arguments in running()
        if pid != os.getpid() and (any(word in part for part in arguments) or _works_in(pid, data))
    ]
    return processes + [f"socket {path}" for path in data.rglob("*") if path.is_socket()]


def _works_in(pid: int, data: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(data)
    except OSError:
        return False
