"""A log that nobody reads holds up nobody; what was lost is told once somebody reads again."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from services.chassis.telemetry_log import LINES_MAX, UnblockedHandler
from tests.sources import ROOT

LINES = 2 * LINES_MAX
ENDS_SECONDS_MAX = 30.0
TALKS_AND_ENDS = """
import sys
from services.chassis.telemetry import logger, set_up
set_up("talker")
for number in range(int(sys.argv[1])):
    logger("talker").info("x" * 200, number=number)
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


@pytest.fixture
def handler(pipe: tuple[int, int]) -> Iterator[UnblockedHandler]:
    root, before = logging.getLogger(), logging.getLogger().handlers
    root.handlers = [handler := UnblockedHandler(pipe[1])]
    yield handler
    root.handlers = before


def read_until(file: int, text: str) -> str:
    told = b""
    while text.encode() not in told:
        told += os.read(file, 65536)
    return told.decode()


def test_lines_are_lost_in_place_of_time_and_that_is_told(
    pipe: tuple[int, int], handler: UnblockedHandler
) -> None:
    log = logging.getLogger("talker")
    for number in range(LINES):
        log.warning("%s%d", "x" * 100, number)

    told = read_until(pipe[0], "log lines were lost").splitlines()
    numbers = [int(line.strip("x")) for line in told if line.startswith("x")]
    assert f"{LINES - len(numbers)} log lines were lost" in told
    assert numbers == sorted(set(numbers))
    assert LINES_MAX <= len(numbers) < LINES


def test_a_line_is_written_at_once_and_flush_waits_for_all(
    pipe: tuple[int, int], handler: UnblockedHandler
) -> None:
    logging.getLogger("talker").warning("one")
    assert os.read(pipe[0], 65536) == b"one\n"
    reading = threading.Thread(target=read_until, args=(pipe[0], "999"))
    reading.start()
    for number in range(1000):
        logging.getLogger("talker").warning("%s %d", "x" * 500, number)
    handler.flush()
    assert handler._lines.unfinished_tasks == 0
    reading.join(ENDS_SECONDS_MAX)


def talker(lines: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", TALKS_AND_ENDS, str(lines)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )


def test_a_process_ends_in_order_though_nobody_reads_what_it_says() -> None:
    with talker(5_000) as process:
        assert process.wait(ENDS_SECONDS_MAX) == 0
        process.communicate()


def test_at_the_end_of_a_process_all_is_written() -> None:
    with talker(3_000) as process:
        _, told = process.communicate(timeout=ENDS_SECONDS_MAX)

    assert [json.loads(line)["number"] for line in told.splitlines()] == list(range(3_000))
