"""The journal's file: whatever happens to its bytes, what was whole stays readable."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.embedded import journal_file
from services.embedded.journal_file import JournalFile, JournalInUse, frames_of


@pytest.fixture
def file(tmp_path: Path) -> Iterator[JournalFile]:
    with JournalFile(tmp_path / "journal") as file:
        file.replace([b"first", b"second"])
        yield file


def test_what_is_appended_is_read_in_order_behind_what_was_there(file: JournalFile) -> None:
    file.append(b"third")
    file.append(b"")

    assert file.read().frames == (b"first", b"second", b"third", b"")
    assert file.bytes_written == file.path.stat().st_size


def test_a_tail_torn_at_any_byte_costs_only_the_frame_it_tore(file: JournalFile) -> None:
    file.append(b"third")
    content = file.path.read_bytes()
    whole = len(content) - 12 - len(b"third")

    for size in range(whole, len(content)):
        found = frames_of(content[:size])
        assert found.frames == (b"first", b"second")
        assert found.damaged_bytes == size - whole


def test_any_one_damaged_byte_costs_only_its_own_frame(file: JournalFile) -> None:
    file.append(b"third")
    content = file.path.read_bytes()

    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        found = frames_of(bytes(damaged))
        assert len(found.frames) == 2
        assert set(found.frames) < {b"first", b"second", b"third"}
        assert found.damaged_bytes > 0


def test_a_damaged_file_is_kept_aside_for_a_person(file: JournalFile) -> None:
    file.path.write_bytes(file.path.read_bytes() + b"torn")

    assert file.read().damaged_bytes == 4
    file.replace([b"new"])

    assert file.path.with_suffix(".damaged").read_bytes().endswith(b"torn")
    assert file.read().frames == (b"new",)


def test_a_file_of_something_else_holds_no_frames(file: JournalFile) -> None:
    file.path.write_bytes(b"not a journal at all")

    assert file.read() == journal_file.Found((), 20)


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    with JournalFile(tmp_path / "new") as file:
        assert file.read() == journal_file.Found((), 0)
        with pytest.raises(OSError, match="written anew first"):
            file.append(b"too early")


@pytest.mark.parametrize("crash", ["rename", "fsync"])
def test_a_crash_while_it_is_written_anew_leaves_the_old_one_whole(
    file: JournalFile, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the power fails")

    place = Path if crash == "rename" else os
    monkeypatch.setattr(place, crash, refuse)
    with pytest.raises(OSError, match="the power fails"):
        file.replace([b"half"])

    assert file.read().frames == (b"first", b"second")
    assert [path.name for path in file.path.parent.iterdir()] == ["lock", "records"]


def test_half_a_new_file_of_a_killed_process_is_no_part_of_the_journal(file: JournalFile) -> None:
    file.path.with_suffix(".new").write_bytes(b"cnj1 half")

    assert file.read().frames == (b"first", b"second")
    file.replace([b"third"])
    assert file.read().frames == (b"third",)


def test_a_disk_without_room_is_an_error_and_loses_nothing_that_was_there(
    file: JournalFile,
) -> None:
    room = file.path.stat().st_size + 20
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            file.append(b"x" * 100)
        with pytest.raises(OSError, match="File too large"):
            file.replace([b"x" * 100])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert file.read().frames == (b"first", b"second")

    file.replace([b"all"])
    file.append(b"and more")
    assert file.read().frames == (b"all", b"and more")


def test_two_processes_never_write_one_journal(
    file: JournalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "LOCK_SECONDS_MAX", 0.05)

    with pytest.raises(JournalInUse), JournalFile(file.path.parent):
        pass
