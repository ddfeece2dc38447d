"""Cells that harm their interpreter: the caller is told the truth, and the instance goes on."""

import pytest

from tests.runtime.instances import Instances, children


@pytest.mark.parametrize(
    ("cell", "code", "words"),
    [
        ("import sys\nsys.stderr.close()\n1 / 0", "cell-error", "ZeroDivisionError"),
        ("import os\nos.close(2)\n1 / 0", "cell-error", "ZeroDivisionError"),
        ("import linecache\nlinecache.checkcache = None\n1 / 0", "cell-error", "ZeroDivisionError"),
        (
            "class D(dict):\n    def items(self): return 1 / 0\ny = D(a=1)",
            "invalid-output",
            "ZeroDivisionError",
        ),
        ("import numpy\ny = numpy.longdouble(1)", "invalid-output", "longdouble is not JSON"),
        (
            "import numpy\ny = numpy.array(['2026-01-01'], 'datetime64[ns]')",
            "invalid-output",
            "astype(str)",
        ),
    ],
)
def test_what_went_wrong_is_told_and_the_state_is_kept(
    instances: Instances, cell: str, code: str, words: str
) -> None:
    instance = instances.start(cell, outputs=["y"]).ready()
    pid = instance.fork_pid

    problem = instance.execute().json

    assert (problem["code"], instance.fork_pid) == (code, pid)
    assert words in problem["detail"]


def test_streams_that_cannot_be_flushed_lose_no_answer(instances: Instances) -> None:
    cell = "import sys\nclass Odd:\n    def flush(self): raise RuntimeError\nsys.stdout = Odd()"
    instance = instances.start(cell).ready()

    assert instance.execute().status == 200


def test_no_depth_of_an_output_ends_the_interpreter(instances: Instances) -> None:
    cell = "y = []\nfor _ in range(depth): y = [y]"
    instance = instances.start(cell, inputs=["depth"], outputs=["y"]).ready()
    pid = instance.fork_pid

    statuses = {instance.execute({"depth": depth}).status for depth in range(960, 1000)}

    assert statuses == {200, 500}
    assert instance.fork_pid == pid


def test_only_the_parent_answers_when_a_cell_forks(instances: Instances) -> None:
    cell = "import os\nn = n\npid = os.fork() if n == 0 else 1"
    instance = instances.start(cell, inputs=["n"], outputs=["n", "pid"]).ready()
    fork = instance.fork_pid

    first, *others = [instance.output({"n": n}) for n in range(20)]

    assert first["pid"] > 1
    assert [each["n"] for each in others] == list(range(1, 20))
    assert instance.fork_pid == fork


def test_an_instance_outlives_the_loss_of_its_log(instances: Instances) -> None:
    cell = "import os\nif end:\n    os.unlink('../log')\n    os._exit(3)"
    instance = instances.start(cell, inputs=["end"]).ready()
    seq = instance.phase()["seq"]

    assert instance.execute({"end": True}).json["code"] == "interpreter-lost"
    instance.until_seq(seq + 2)

    assert instance.execute({"end": False}).status == 200


STOPS_ITS_LOADER = """
import os, signal, time
while stop:
    os.kill(os.getppid(), signal.SIGSTOP)
    try:
        time.sleep(60)
    except BaseException:
        pass
"""


def test_a_stopped_loader_is_ended_with_the_cell_that_does_not_stop(instances: Instances) -> None:
    instance = instances.start(STOPS_ITS_LOADER, inputs=["stop"], deadline_seconds=0.5).ready()
    loader = children(instance.agent_pid)[0]
    seq = instance.phase()["seq"]

    assert instance.execute({"stop": True}).json["code"] == "deadline-exceeded"
    broken = instance.until_seq(seq + 1)["history"][-1]
    instance.until_phase("ready")

    assert broken["reason"] in ("DEADLINE_KILLED", "STATE_LOST")
    assert children(instance.agent_pid)[0] != loader
    assert instance.execute({"stop": False}).status == 200


@pytest.mark.parametrize("number", ["1e400", "-1E+999"])
def test_a_number_beyond_every_double_is_refused(instances: Instances, number: str) -> None:
    instance = instances.start("y = x", inputs=["x"], outputs=["y"]).ready()

    answer = instance.request("POST", "/execute", b'{"input": {"x": %b}}' % number.encode())

    assert (answer.status, answer.json["code"]) == (400, "invalid-json")
    assert f"{number} is beyond the range" in answer.json["detail"]


@pytest.mark.parametrize(
    ("cell", "schema", "words"),
    [
        ("x = " + "-" * 100_000 + "1", None, "Compiling the cell failed: MemoryError"),
        ("pass", {"required": 3}, "input x: required in a schema must be a list of names, not 3"),
        ("pass", {"minimum": "a"}, "input x: minimum in a schema must be a number, not 'a'"),
        ("pass", {"pattern": "("}, "input x: pattern in a schema must be a regular expression"),
    ],
)
def test_a_cell_that_cannot_be_prepared_is_told(
    instances: Instances, cell: str, schema: object, words: str
) -> None:
    instance = instances.start(cell, inputs=[{"name": "x", "schema": schema}])

    failed = instance.until_phase("failed")

    assert failed["reason"] == "LOAD_FAILED"
    assert words in failed["sentence"]


def test_a_schema_that_cannot_be_checked_ends_no_interpreter(instances: Instances) -> None:
    schema = {"allOf": [{"$ref": "#"}]}
    instance = instances.start("pass", inputs=[{"name": "x", "schema": schema}]).ready()
    pid = instance.fork_pid

    assert instance.execute({"x": 1}).json["code"] == "invalid-input"
    assert instance.fork_pid == pid


def test_a_text_that_is_no_unicode_hides_no_reason(instances: Instances) -> None:
    state = """
class Odd:
    def __getstate__(self): return 1
    def __setstate__(self, state): raise ValueError('half a \\ud800')
odd = Odd()
"""
    failed = instances.start("pass", state=state).until_phase("failed")

    assert failed["reason"] == "LOAD_FAILED"
    assert "ValueError: half a \\ud800" in failed["sentence"]
