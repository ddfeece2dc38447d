"""The command `cellnode`: what is said about wrong input, and how addresses are shown."""

import contextlib
import io
import os
from pathlib import Path

import pytest

from cellnode.cli import main
from cellnode.launcher import Addresses
from cellnode.launcher.places import DataDirectory, DirectoryLock
from cellnode.launcher.programs import ReservedPort, listen
from cellnode.launcher.report import Report

ADDRESSES = Addresses(
    gateway="http://127.0.0.1:8080",
    api="http://127.0.0.1:8081",
    kafka="127.0.0.1:9092",
    redis="unix:///tmp/redis.sock",
    data="/tmp/data",
    services={"gateway": "127.0.0.1:1"},
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cellnode ")


@pytest.mark.parametrize("address", ["8080", "host", ":8080", "127.0.0.1:x", "127.0.0.1:65536"])
def test_an_address_that_is_none_is_refused_with_an_example(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert main(["up", "--gateway", address]) == 2

    said = capsys.readouterr().err
    assert "is not HOST:PORT" in said
    assert "for example 127.0.0.1:8080" in said


def test_a_directory_in_use_ends_the_command_with_a_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    directory = DataDirectory(tmp_path)
    directory.make()
    lock = DirectoryLock(directory)
    lock.take()

    assert main(["up", "--data", str(tmp_path), "--gateway", "127.0.0.1:0"]) == 1

    assert "--data" in capsys.readouterr().err
    lock.release()


def test_a_gateway_port_in_use_ends_the_command_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    taken = listen("127.0.0.1", 0)

    assert main(["up", "--data", str(tmp_path), "--gateway", taken.address]) == 1

    assert "cannot listen" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]
    taken.socket.close()


def test_a_pipe_gets_plain_lines() -> None:
    stream = io.StringIO()

    Report(stream).ready(ADDRESSES, 1.24)

    assert stream.getvalue().splitlines() == [
        "gateway http://127.0.0.1:8080",
        "api http://127.0.0.1:8081",
        "kafka 127.0.0.1:9092",
        "redis unix:///tmp/redis.sock",
        "data /tmp/data",
        "ready after 1.2 s",
    ]


def test_a_terminal_gets_a_table_with_every_address() -> None:
    stream = Terminal()

    Report(stream).ready(ADDRESSES, 1.24)

    assert "\x1b[" in stream.getvalue()
    assert all(value in stream.getvalue() for value in (ADDRESSES.gateway, ADDRESSES.kafka))


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    report = Report(stream, quiet=True)

    report.note("something")
    report.ready(ADDRESSES, 1.0)

    assert stream.getvalue() == ""


def test_a_reader_that_went_away_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "w") as stream:
        Report(stream).ready(ADDRESSES, 1.0)


def test_a_reserved_port_can_be_bound_by_the_child_it_is_for() -> None:
    port = ReservedPort()
    host, _, number = port.address.rpartition(":")

    listener = listen(host, int(number))

    assert listener.address == port.address
    listener.socket.close()
    port.release()
