"""Descriptors of processes work with and without Python's own calls."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from services.provisioner.providers.pidfd import pidfd_open, pidfd_send_signal


@pytest.fixture(params=["of Python", "of the kernel"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "of the kernel":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        monkeypatch.delattr(signal, "pidfd_send_signal", raising=False)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "30"]) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("either_way")
def test_a_process_is_signalled_and_its_end_is_seen(child: subprocess.Popen[bytes]) -> None:
    fd = pidfd_open(child.pid)
    try:
        assert select.select([fd], [], [], 0)[0] == []
        pidfd_send_signal(fd, signal.SIGKILL)
        assert select.select([fd], [], [], 10)[0] == [fd]
    finally:
        os.close(fd)


@pytest.mark.usefixtures("either_way")
def test_a_process_that_is_gone_has_no_descriptor(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    with pytest.raises(ProcessLookupError):
        pidfd_open(child.pid)
