"""The processes of one `up` by name: kept, ended, given up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cellnode.launcher import child as child_module
from cellnode.launcher.child import EXIT_SETTINGS, Program
from cellnode.launcher.children import Children
from cellnode.launcher.places import UpFailed

Until = Callable[..., Awaitable[None]]
SLEEPS = "import time; time.sleep(60)"


@pytest.fixture
async def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Children]:
    monkeypatch.setattr(child_module, "RESTART_SECONDS_FIRST", 0.01)
    children = Children(tmp_path, lambda _: None)
    yield children
    await children.end(*children, grace_seconds=0)


def program(name: str, code: str, tmp_path: Path) -> Program:
    return Program(name, [sys.executable, "-S", "-c", code], {}, tmp_path)


async def test_who_is_kept_comes_back_and_who_is_ended_does_not(
    children: Children, tmp_path: Path, until: Until
) -> None:
    kept = await children.keep(program("a", SLEEPS, tmp_path))
    first = kept.pid
    await kept.stop(0)
    await until(lambda: kept.pid not in (None, first))

    await children.end("a", "never started", grace_seconds=0)

    assert kept.pid is None
    assert kept.starts == 2


async def test_another_program_of_the_name_goes_on_in_the_same_log(
    children: Children, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text("of a former up\n")
    for word in ("one", "two"):
        child = await children.start(program("a", f"print({word!r})", tmp_path))
        await child.ended()

    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"
    assert list(children) == ["a"]


async def test_who_cannot_be_kept_ends_whatever_is_waited_for(
    children: Children, tmp_path: Path
) -> None:
    forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await children.keep(program("good", SLEEPS, tmp_path))
    await children.keep(program("bad", f"raise SystemExit({EXIT_SETTINGS})", tmp_path))

    with pytest.raises(UpFailed, match="bad refuses its settings"):
        await asyncio.wait_for(children.first_of(forever), 10)


async def test_what_is_waited_for_ends_the_waiting(children: Children, tmp_path: Path) -> None:
    await children.keep(program("good", SLEEPS, tmp_path))
    over = asyncio.ensure_future(asyncio.sleep(0))

    await asyncio.wait_for(children.first_of(over), 10)

    assert children["good"].pid is not None
