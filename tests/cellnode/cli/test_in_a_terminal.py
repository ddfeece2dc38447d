"""The command where a person reads and types: colours, live progress, questions, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.cellnode.cli.conftest import Shell
from tests.cellnode.cli.terminal import COMMAND, SECONDS_MAX, environment
from tests.e2e.waiting import until

GREEN, HIDE_CURSOR, SHOW_CURSOR = "\x1b[32m", "\x1b[?25l", "\x1b[?25h"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def words(text: str) -> str:
    return CODES.sub("", text).replace("\r", "")


@pytest.fixture(scope="module")
def node(shell: Shell) -> str:
    assert shell.run("deploy", shell.spec("seen")).code == 0
    return "seen"


def test_a_deploy_is_watched_live_and_leaves_what_came_of_it(shell: Shell) -> None:
    ended = shell.terminal("deploy", shell.spec("live", instances={"min": 2, "want": 2}))

    assert ended.code == 0
    assert HIDE_CURSOR in ended.out
    assert SHOW_CURSOR in ended.out
    assert f"{GREEN}HEALTHY" in ended.out
    last = words(ended.out[ended.out.rindex(SHOW_CURSOR) :])
    assert "live is HEALTHY, 2 of 2 instances healthy, after" in last
    assert "curl http://127.0.0.1:" in last


@pytest.mark.parametrize(
    ("typed", "code", "status"), [("\n", 1, "HEALTHY"), ("y\n", 0, "DELETING")]
)
def test_a_removal_is_asked_for(shell: Shell, typed: str, code: int, status: str) -> None:
    assert shell.run("deploy", shell.spec("asked")).code == 0

    ended = shell.terminal("rm", "asked", "--no-wait", typed=typed, once="[y/N]")

    assert "Remove asked with its 1 instance? [y/N]" in words(ended.out)
    assert ended.code == code
    until(status, lambda: status in shell.run("show", "asked").out)


def test_a_list_has_colours_unless_they_are_not_wanted(shell: Shell, node: str) -> None:
    assert GREEN in shell.terminal("ls").out
    plain = shell.terminal("ls", more={"NO_COLOR": "1"}).out

    assert "\x1b[" not in plain
    assert f"{node} " in plain


def test_outputs_are_shown_in_lines_of_their_own(shell: Shell, node: str) -> None:
    assert words(shell.terminal("call", node, "name=World").out) == (
        '{\n  "text": "Hello World"\n}\n'
    )


def test_ctrl_c_ends_a_command_at_once_and_without_a_traceback(shell: Shell) -> None:
    file = shell.folder / "endless.py"
    file.write_text(
        "# %%\nimport os, time\nprint('it runs as', os.getpid(), '.')\ntime.sleep(600)\n"
        "# %% [node] endless --outputs x\nx = 0\n"
    )

    ended = shell.terminal("deploy", str(file), typed="\x03", once=" .")

    assert ended.code == 130
    assert "Traceback" not in ended.out
    assert SHOW_CURSOR in ended.out
    child = int(words(ended.out).partition("it runs as ")[2].split()[0])
    until("nothing of it runs", lambda: not shell.system.is_running(child))


@pytest.fixture
def following(shell: Shell, node: str) -> Iterator[subprocess.Popen[str]]:
    """`events -f` that has begun to tell."""
    child = subprocess.Popen(
        [*COMMAND, "events", node, "-f", "--since", "-1h"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(shell.more),
    )
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.communicate()


def test_ctrl_c_ends_with_130_and_no_traceback(following: subprocess.Popen[str]) -> None:
    following.send_signal(signal.SIGINT)

    _, said = following.communicate(timeout=SECONDS_MAX)
    assert (following.returncode, said) == (130, "")


def test_a_reader_that_went_away_ends_it_quietly(
    shell: Shell, node: str, following: subprocess.Popen[str]
) -> None:
    assert following.stdout is not None
    assert following.stderr is not None
    following.stdout.close()
    shell.run("scale", node, "2", "--no-wait")

    until("it has ended", lambda: following.poll() is not None, seconds=20)
    assert (following.returncode, following.stderr.read()) == (0, "")


def test_bash_completes_commands_options_and_names(shell: Shell, node: str) -> None:
    script = f"""
        cellnode() {{ {" ".join(COMMAND)} "$@"; }}
        source <(cellnode completion bash)
        complete -p cellnode
        try() {{
            COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
            "$(complete -p cellnode | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
            echo "${{COMPREPLY[@]}}"
        }}
        try cellnode sus
        try cellnode scale x 3 --no
        try cellnode completion z
        try cellnode show se
    """
    path = f"{os.path.dirname(COMMAND[0])}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={**environment(shell.more), "PATH": path},
    )

    assert ended.stdout.splitlines()[1:] == ["suspend", "--no-wait", "zsh", node]
