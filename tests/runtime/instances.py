"""Real instances for tests: a directory, a keeper, an agent, an interpreter, and a caller."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cellnode import Pin, pin

ROOT = Path(__file__).resolve().parent.parent.parent
GIB = 1024**3
T = TypeVar("T")


def until(question: Callable[[], T | None], seconds: float = 10.0) -> T:
    """The first true answer; fails when there is none in time."""
    ends_at = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < ends_at, "waited in vain"
        time.sleep(0.005)
    return answer


def notebook(source: str) -> dict[str, Any]:
    """The namespace of a notebook in which this was run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<notebook>", "exec"), namespace)
    return namespace


def raw_execute(body: bytes, *headers: bytes) -> bytes:
    """The bytes of a call, to be sent several at a time or in pieces."""
    lines = [
        b"POST /execute HTTP/1.1", b"Host: instance", b"Content-Length: %d" % len(body), *headers
    ]  # fmt: skip
    return b"\r\n".join([*lines, b"", body])


class Answer:
    """An HTTP answer, read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float = 30) -> None:
        super().__init__("instance", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class RunningInstance:
    """A started instance as a provider, a prober and a gateway see it."""

    def __init__(
        self,
        directory: Path,
        document: dict[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.document = document
        self.socket = str(document["socket"])
        (directory / "instance.json").write_text(json.dumps(document))
        self.keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "runtime", str(directory)],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def connect(self) -> socket.socket:
        def attempt() -> socket.socket | None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.socket)
            except OSError:
                connection.close()
                return None
            connection.settimeout(30)
            return connection

        return until(attempt)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = UnixConnection(self.socket)
        connection.sock = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, body, named)
            return Answer(connection.getresponse())

    def execute(self, input: Any = None, **headers: str) -> Answer:
        body = json.dumps({"input": {} if input is None else input}).encode()
        return self.request("POST", "/execute", body, **headers)

    def output(self, input: Any = None) -> Any:
        answer = self.execute(input)
        assert answer.status == 200, answer.body
        return answer.json["output"]

    def phase(self, after: int = -1, wait_ms: int = 0) -> dict[str, Any]:
        path = f"/phase?after={after}&wait_ms={wait_ms}" if after >= 0 else "/phase"
        document: dict[str, Any] = self.request("GET", path).json
        return document

    def until_phase(self, *wanted: str) -> dict[str, Any]:
        document = self.phase()
        ends_at = time.monotonic() + 30
        while document["phase"] not in wanted:
            assert time.monotonic() < ends_at, document
            document = self.phase(document["seq"], 1000)
        return document

    def ready(self) -> RunningInstance:
        document = self.until_phase("ready", "failed")
        assert document["phase"] == "ready", document
        return self

    def until_seq(self, wanted: int) -> dict[str, Any]:
        document = self.phase()
        ends_at = time.monotonic() + 30
        while document["seq"] < wanted:
            assert time.monotonic() < ends_at, document
            document = self.phase(document["seq"], 1000)
        return document

    @property
    def agent_pid(self) -> int:
        path = self.directory / "agent.pid"
        until(path.exists)
        pid: int = json.loads(path.read_text())["pid"]
        return pid

    def processes(self) -> list[int]:
        """Every process of this instance, the keeper first."""
        found = [self.keeper.pid]
        for pid in found:
            found += children(pid)
        return found

    @property
    def fork_pid(self) -> int:
        loaders = until(lambda: children(self.agent_pid))
        return until(lambda: children(loaders[0]))[0]

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def exit(self, seconds: float = 10.0) -> dict[str, Any]:
        self.keeper.wait(seconds)
        document: dict[str, Any] = json.loads((self.directory / "exit.json").read_text())
        return document

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.keeper.pid, signal.SIGKILL)
        self.keeper.wait(10)


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(each) for each in text.split()]
    return []


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Instances:
    """Makes instances below a short temporary directory and ends them all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "store"
        self.running: list[RunningInstance] = []

    def pin(self, source: str, **options: Any) -> Pin:
        return pin("test", namespace=notebook(source), store=self.store, **options)

    def start(
        self,
        cell: str,
        *,
        state: str = "",
        checkpoint: str | None = None,
        environment: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> RunningInstance:
        """`inputs` and `outputs` may be names alone; `environment` is the agent's."""
        number = len(self.running) + 1
        directory = self.directory / str(number)
        directory.mkdir()
        document = {
            "instance": f"test-abc123-{number}",
            "place": "default/test",
            "socket": str(directory / "agent.sock"),
            "checkpoint": checkpoint or self.pin(state, check=False).digest,
            "store": str(self.store),
            "cell": cell,
            "inputs": [],
            "outputs": [],
            "python": sys.executable,
            "state": "shared",
            "env": {},
            "deadline_seconds": 60,
            "waiting_max": 16,
            "body_bytes_max": 16 * 1024 * 1024,
            "drain_seconds_min": 0.2,
            "drain_seconds_max": 5.0,
            "installation": "test",
            **changes,
        }
        document["limits"] = {
            "memory_bytes": 4 * GIB,
            "cpu_count": 2,
            "files_max": 1024,
            "processes_max": 256,
            "file_bytes_max": GIB,
            **changes.get("limits", {}),
        }
        for kind in ("inputs", "outputs"):
            document[kind] = [{"name": e} if isinstance(e, str) else e for e in document[kind]]
        instance = RunningInstance(directory, document, environment)
        self.running.append(instance)
        return instance

    def end(self) -> None:
        for instance in self.running:
            instance.end()


@contextlib.contextmanager
def made_instances() -> Iterator[Instances]:
    with tempfile.TemporaryDirectory(prefix="cn-") as directory:
        instances = Instances(Path(directory))
        try:
            yield instances
        finally:
            instances.end()
