"""Debian's redis-server on a loopback port or a Unix socket, with or without a disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.servers.process import LOOPBACK, NotInstalled, ServerProcess, free_port, listens

ASK_SECONDS_MAX = 10.0
ANSWER_BYTES_MAX = 65_536


class RedisServer(ServerProcess):
    """`with RedisServer() as redis: redis.url`. Without `keeps` it comes back empty."""

    name = "redis"
    ready_line = "eady to accept connections"  # It says so in two ways.
    start_seconds_max = 20.0

    def __init__(
        self, arguments: Sequence[str] = (), *, on_socket: bool = False, keeps: bool = False
    ) -> None:
        """`keeps` appends each write to the disk; arguments of the server come on top."""
        if reason := missing():
            raise NotInstalled(reason)
        super().__init__()
        self.port = 0 if on_socket else free_port()
        self.socket = self.directory / "s" if on_socket else None
        self._keeps = keeps
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        if self.socket is not None:
            return f"unix://{self.socket}"
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def dump(self) -> Path:
        """Where `save` writes, and what a server that does not keep its writes starts from."""
        return self.directory / "dump.rdb"

    def command(self) -> list[str]:
        place = ["--port", str(self.port), "--bind", LOOPBACK]
        if self.socket is not None:
            place = ["--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        disk = ["--save", "", "--appendonly", "yes" if self._keeps else "no"]
        room = ["--dir", str(self.directory)]
        return ["redis-server", *place, *disk, *room, "--daemonize", "no", *self._arguments]

    def answers(self) -> bool:
        if self.socket is None:
            return listens(self.port)
        with socket.socket(socket.AF_UNIX) as caller:
            return caller.connect_ex(str(self.socket)) == 0

    def restart_empty(self) -> None:
        """SIGKILL, and up again with nothing."""
        self.kill()
        self.dump.unlink(missing_ok=True)
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        self.start()

    def restart_from(self, dump: Path) -> None:
        """SIGKILL, and up again with what an older `save` has kept."""
        assert not self._keeps, "a server that keeps its writes reads these instead"
        self.kill()
        if dump != self.dump:
            shutil.copy(dump, self.dump)
        self.start()

    def save(self, to: Path) -> Path:
        """Write all there is now into a file, for `restart_from`."""
        assert self.ask("SAVE").startswith("+OK"), "Redis did not save"
        shutil.move(self.dump, to)
        return to

    def ask(self, *words: str) -> str:
        """One command, and the first part of its answer as it came."""
        if self.socket is None:
            caller = socket.create_connection((LOOPBACK, self.port), ASK_SECONDS_MAX)
        else:
            caller = socket.socket(socket.AF_UNIX)
            caller.settimeout(ASK_SECONDS_MAX)
            caller.connect(str(self.socket))
        with caller:
            parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            caller.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            return caller.recv(ANSWER_BYTES_MAX).decode(errors="replace")


def missing() -> str | None:
    """What is needed and not here, as a sentence; None when all is here."""
    if shutil.which("redis-server") is None:
        return "no redis-server on this machine; `make test-kafka` installs it"
    return None
