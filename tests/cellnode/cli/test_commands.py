"""The command against the real system: what it says, how it ends, what has become so."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Callable

import pytest

from tests.cellnode.cli.conftest import Shell
from tests.cellnode.cli.terminal import environment, here

STATUSES = ["UNDEFINED", "CREATED", "STARTED", "PREPARING", "HEALTHY"]
Deployed = Callable[..., str]


def test_an_empty_system_says_how_to_deploy_the_first_node(shell: Shell) -> None:
    ended = shell.run("ls", "--project", "empty")

    assert (ended.code, ended.err) == (0, "")
    assert "cellnode deploy" in ended.out
    assert shell.json("ls", "--project", "empty") == {"nodes": []}


def test_deploying_tells_costs_first_then_every_status_then_how_to_call(shell: Shell) -> None:
    ended = shell.run("deploy", shell.spec("first", instances={"min": 2, "want": 2}))

    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert (
        lines[0]
        == "2 instances of type small: 1 unit an hour each, 2 in all, also while it is idle"
    )
    told = [line.split() for line in lines if " first-" in line]
    one = [words[3] for words in told if words[2].endswith("-1")]
    assert one == STATUSES
    assert any(line.startswith("first is HEALTHY, 2 of 2 instances healthy") for line in lines)
    assert shell.json("show", "first")["status"]["status"] == "HEALTHY"


def test_the_lines_that_deploying_prints_call_the_node(shell: Shell, deployed: Deployed) -> None:
    ended = shell.run("deploy", shell.spec(deployed("lines")))
    curl, ours, _, imports, python = (line.strip() for line in ended.out.splitlines()[-5:])

    _, url, *_, body = shlex.split(curl)
    with urllib.request.urlopen(url, body.encode(), timeout=10) as answer:
        assert "text" in json.load(answer)["output"]
    code = f"{imports}\nprint({python})"
    called = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert called.stdout.startswith("{'text': 'Hello ")
    assert json.loads(shell.run(*shlex.split(ours)[1:]).out)["text"].startswith("Hello ")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["name=World"], ""),
        (['name="World"'], ""),
        (["-"], '{"name": "World"}'),
        (["-", "name=World"], '{"name": "nobody"}'),
    ],
    ids=str,
)
def test_inputs_come_from_the_line_or_from_standard_input(
    shell: Shell, called: str, words: list[str], given: str
) -> None:
    ended = shell.run("call", called, *words, given=given)

    assert (ended.code, ended.out, ended.err) == (0, '{"text": "Hello World"}\n', "")


def test_inputs_come_from_a_file_and_the_line_stands_over_it(shell: Shell, called: str) -> None:
    file = shell.folder / "input.json"
    file.write_text('{"name": "file"}')

    assert shell.json("call", called, "--input-file", str(file)) == {
        "output": {"text": "Hello file"}
    }
    said = shell.run("call", called, "--input-file", str(file), "name=[1, 2]").out
    assert json.loads(said) == {"text": "Hello [1, 2]"}


@pytest.fixture(scope="module")
def called(shell: Shell) -> str:
    assert shell.run("deploy", shell.spec("called")).code == 0
    return "called"


def test_a_wrong_input_fails_with_its_name_and_the_remedy(shell: Shell, called: str) -> None:
    ended = shell.run("call", called, "nome=World")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("cellnode: input.name: ")
    assert ended.err.endswith("/v1/nodes/called/docs\n")
    assert "Traceback" not in ended.err


def test_a_cell_that_raises_fails_with_its_traceback(shell: Shell, deployed: Deployed) -> None:
    node = deployed("raises", cell="text = greet(name) + 1")

    ended = shell.run("call", node, "name=World")

    assert (ended.code, ended.out) == (1, "")
    assert "TypeError" in ended.err


def test_what_is_not_there_is_corrected(shell: Shell, called: str) -> None:
    for command in ("show", "why", "logs", "suspend"):
        ended = shell.run(command, "caled")
        assert (ended.code, ended.out) == (4, "")
        assert ended.err.splitlines() == [
            "cellnode: there is no node called caled", f"  → did you mean {called}?"
        ]  # fmt: skip


def test_a_server_that_is_not_there_ends_with_3_and_the_way_to_start_one(shell: Shell) -> None:
    for words in (["ls"], ["call", "x", "a=1"], ["deploy", shell.spec("nowhere")], ["events"]):
        ended = here(*words, "--url", "http://127.0.0.1:1")
        assert (ended.code, ended.out) == (3, "")
        assert ended.err.splitlines() == [
            "cellnode: no cellnode server answers at http://127.0.0.1:1",
            "  → start one with: cellnode up",
        ]


def test_scaling_suspending_resuming_recreating_and_removing(
    shell: Shell, deployed: Deployed
) -> None:
    node = deployed("changing")

    assert "2 of 2 instances healthy" in shell.run("scale", node, "2").out
    assert "changing is SUSPENDED" in shell.run("suspend", node).out
    assert shell.run("call", node, "name=x").code == 1
    assert "changing is HEALTHY" in shell.run("resume", node).out
    before = {each["instance"] for each in shell.json("show", node)["instances"]}
    assert shell.json("recreate", node)["status"]["status"] == "HEALTHY"
    after = {each["instance"] for each in shell.json("show", node)["instances"]}
    assert after - before
    assert "removing changing" in shell.run("rm", node, "--yes", "--no-wait").out


@pytest.mark.full
def test_a_removed_node_is_gone_with_all_that_it_had(shell: Shell, deployed: Deployed) -> None:
    node = deployed("leaving")

    assert "leaving is gone" in shell.run("rm", node, "--yes").out
    assert shell.run("show", node).code == 4
    assert [*(shell.system.data / "instances").glob(f"{node}-*")] == []


def test_a_program_has_to_confirm_a_removal(shell: Shell, called: str) -> None:
    ended = shell.run("rm", called)

    assert ended.code == 2
    assert f"cellnode rm {called} --yes" in ended.err
    assert shell.run("show", called).code == 0


def test_what_is_not_there_in_time_ends_with_5(shell: Shell, deployed: Deployed) -> None:
    node = deployed("late")

    ended = shell.run("recreate", node, "--timeout", "0.05")

    assert ended.code == 5
    assert "late is" in ended.err


def test_every_listing_is_json_too(shell: Shell, called: str) -> None:
    digest = {each["name"]: each["digest"] for each in shell.json("pins")["pins"]}["greeting"]

    assert called in {each["node"] for each in shell.json("ls")["nodes"]}
    assert shell.json("why", called)["status"]["reason"] == "ENOUGH_HEALTHY"
    assert next(each["name"] for each in shell.json("types")["instance_types"]) == "small"
    assert digest in {each["digest"] for each in shell.json("checkpoint", "ls")["checkpoints"]}
    assert shell.json("checkpoint", "show", digest[:8])["variables"][0]["name"] == "greet"
    assert shell.run("checkpoint", "rm", digest[:8]).code == 1  # A node needs it.


def test_logs_tell_whose_line_it_is(shell: Shell, called: str) -> None:
    shell.run("call", called, "name=logged")

    lines = shell.run("logs", called, "--tail", "50").out.splitlines()
    assert any(line.startswith("called-") and line.endswith(" | greeting logged") for line in lines)
    first = json.loads(shell.run("logs", called, "--json").out.splitlines()[0])
    assert set(first) == {"instance", "line"}


def test_events_tell_the_whole_way_of_a_node(shell: Shell, called: str) -> None:
    told = [json.loads(line) for line in shell.run("events", called, "--json").out.splitlines()]

    ways = [each["status"] for each in told if each["kind"] == "InstanceStatusChanged"]
    assert ways[: len(STATUSES)] == STATUSES
    kinds = {"--kind": "NodeStatusChanged"}
    lines = shell.run("events", called, *kinds.popitem()).out.splitlines()
    assert all(" called " in line and "called-" not in line for line in lines)
