"""A Docker Engine of one's own, in namespaces that end with it: it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from tests.e2e.waiting import until

START_SECONDS_MAX = 40.0
STOP_SECONDS_MAX = 30.0
COMMAND_SECONDS_MAX = 240.0
NEEDED = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "containerd": "docker.io",
    "iptables": "iptables",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
}
CGROUPS = Path("/sys/fs/cgroup")


def missing() -> str | None:
    """Why no Engine can run here, as a sentence; None where one can."""
    if os.geteuid() != 0:
        return "a Docker Engine needs root"
    packages = sorted({NEEDED[name] for name in NEEDED if shutil.which(name) is None})
    if packages:
        return f"not installed: {', '.join(packages)}; `make test-all` installs what Debian has"
    return None


class Engine:
    """`with Engine() as engine: engine.docker("info")`.

    Its network, its mounts and its processes are in namespaces of its own: bridges, rules of the
    firewall, layers and containers are gone when the first process of them is.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cn-engine-", dir="/tmp"))
        self.socket = self.directory / "docker.sock"
        self._cgroup = self.directory.name
        self._unshare: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.directory / "daemon.json").write_text("{}")
        begin = f"ip link set lo up && exec {' '.join(self._daemon())}"
        namespaces = ("--pid", "--mount-proc", "--mount", "--net", "--fork", "--kill-child=SIGKILL")
        with (self.directory / "log").open("wb") as log:
            self._unshare = subprocess.Popen(
                # If the tests are killed, so is it, and with it all that it holds.
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--", "sh", "-c", begin],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with ExitStack() as failed:
            failed.callback(self._end)
            until("the Engine answers", self._answers, seconds=START_SECONDS_MAX)
            failed.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        """SIGTERM to the daemon, which stops containers; then the namespaces, whatever is left."""
        assert self._unshare is not None, "not entered"
        if self._unshare.poll() is None:
            os.kill(self._first, signal.SIGTERM)
            try:
                self._unshare.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._unshare.kill()
                self._unshare.wait()
        for group in list(CGROUPS.rglob(self._cgroup)):
            _remove_cgroup(group)
        shutil.rmtree(self.directory, ignore_errors=True)

    def docker(self, *arguments: str | Path, stdin: bytes | None = None) -> str:
        """Standard output of a `docker` command that must succeed."""
        return self.run("docker", *arguments, stdin=stdin)

    def run(
        self,
        *command: str | Path,
        stdin: bytes | None = None,
        may_fail: bool = False,
    ) -> str:
        """Standard output of a program in the Engine's network."""
        done = subprocess.run(
            [*self.inside(), *(str(part) for part in command)],
            env={**os.environ, **self.addressed()},
            input=stdin,
            capture_output=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        said = f"{done.stdout.decode(errors='replace')[-4000:]}\n{done.stderr.decode()[-4000:]}"
        assert may_fail or done.returncode == 0, f"{[*map(str, command)]}: {said}"
        return done.stdout.decode()

    def kill(self, pid: int) -> None:
        """SIGKILL to a process by the pid that the Engine knows it by."""
        target = ("--target", str(self._first), "--pid")
        subprocess.run(["nsenter", *target, "--", "kill", "-9", str(pid)], check=True, timeout=20)

    def traces(self) -> list[str]:
        """What is left of it anywhere; nothing, once it was left."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        groups = map(str, CGROUPS.rglob(self._cgroup))
        return [one for one in (*mounts, *groups) if self._cgroup in one]

    def addressed(self) -> dict[str, str]:
        """What tells clients of Docker where the Engine is."""
        # BuildKit's client would need a plugin; the Engine's own builder reads the same Dockerfile.
        return {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"}

    def inside(self) -> list[str]:
        """What to put before a command so that it runs in the Engine's network."""
        return ["nsenter", f"--net=/proc/{self._first}/ns/net", "--"]

    @property
    def _first(self) -> int:
        """The daemon: the first process of its namespace."""
        assert self._unshare is not None, "not entered"
        pid = self._unshare.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _daemon(self) -> Iterable[str]:
        here = self.directory
        return (
            "dockerd",
            *("--config-file", str(here / "daemon.json"), "--pidfile", str(here / "pid")),
            *("--data-root", str(here / "data"), "--exec-root", str(here / "exec")),
            *("--host", f"unix://{self.socket}", "--group", "root"),
            *("--cgroup-parent", f"/{self._cgroup}"),
        )

    def _answers(self) -> bool:
        assert self._unshare is not None, "not entered"
        assert self._unshare.poll() is None, (self.directory / "log").read_text()[-2000:]
        asked = ["docker", "--host", f"unix://{self.socket}", "version"]
        return subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode == 0


def _remove_cgroup(path: Path) -> None:
    for folder in sorted((one for one in path.rglob("*") if one.is_dir()), reverse=True):
        folder.rmdir()
    path.rmdir()
