"""What a call to an instance does: inputs in, the cell, outputs out, or a problem that says why."""

from typing import Any

import pytest

from schemas.http import PROBLEMS
from tests.runtime.instances import Instances, RunningInstance

MIB = 1024 * 1024
INTEGERS = {"type": "array", "items": {"type": "integer"}}


def a_doubler(instances: Instances, **changes: Any) -> RunningInstance:
    inputs = [{"name": "x", "schema": INTEGERS}]
    cell = "y = [v * 2 for v in x]"
    return instances.start(cell, inputs=inputs, outputs=["y"], **changes).ready()


def test_a_cell_answers_with_its_outputs(instances: Instances) -> None:
    instance = a_doubler(instances)

    answer = instance.execute({"x": [1, 2, 3]})

    assert (answer.status, answer.json) == (200, {"output": {"y": [2, 4, 6]}})
    assert answer.headers["cellnode-instance"] == "test-abc123-1"
    assert int(answer.headers["cellnode-execution-us"]) > 0
    assert answer.headers["content-type"] == "application/json"


def test_state_that_a_request_changes_stays_changed(instances: Instances) -> None:
    state = "counter = 40\ndef bump():\n    global counter\n    counter += 1\n    return counter"
    instance = instances.start("counter += 1; seen = bump()", state=state, outputs=["seen"]).ready()

    assert [instance.output()["seen"] for _ in range(3)] == [42, 44, 46]


def test_functions_and_classes_see_the_restored_namespace(instances: Instances) -> None:
    state = """
import math
factor = 2
def scaled(v): return math.floor(v * factor)
class Model:
    def predict(self, v): return scaled(v)
model = Model()
"""
    cell = "factor = f\ny = model.predict(v)\nis_same = type(model) is Model"
    instance = instances.start(cell, state=state, inputs=["f", "v"], outputs=["y", "is_same"])

    assert instance.ready().output({"f": 10, "v": 1.55}) == {"y": 15, "is_same": True}


@pytest.mark.parametrize(
    ("body", "code", "field", "words"),
    [
        (b"{", "invalid-json", None, "not JSON"),
        (b'{"input": {"x": [NaN]}}', "invalid-json", None, "NaN is not JSON"),
        (b"\xff\xfe", "invalid-json", None, "not JSON"),
        (b"[" * 100_000, "invalid-json", None, "not JSON"),
        (b"", "invalid-json", None, "not JSON"),
        (b"[]", "invalid-input", "input", '{"input": {...}}'),
        (b'{"input": {"x": []}, "other": 1}', "invalid-input", "input", "nothing else"),
        (b'{"input": [1]}', "invalid-input", "input", "not an array"),
        (b'{"input": {}}', "invalid-input", "input.x", "x is missing"),
        (b'{"input": {"x": [], "z": 1}}', "invalid-input", "input.z", "the inputs are: x"),
        (b'{"input": {"x": [1, "a"]}}', "invalid-input", "input.x[1]", "must be an integer"),
        (b'{"input": {"x": [1, 2.5]}}', "invalid-input", "input.x[1]", "not a number"),
        (b'{"input": {"x": [true]}}', "invalid-input", "input.x[0]", "not a boolean"),
        (b'{"input": {"x": null}}', "invalid-input", "input.x", "must be an array"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    shared_doubler: RunningInstance, body: bytes, code: str, field: str | None, words: str
) -> None:
    answer = shared_doubler.request("POST", "/execute", body)

    assert (answer.status, answer.json["code"], answer.json.get("field")) == (400, code, field)
    assert words in answer.json["detail"]
    assert answer.json["title"] == PROBLEMS[code].title
    assert answer.headers["content-type"] == "application/problem+json"
    assert "cellnode-error" not in answer.headers


def test_a_whole_number_becomes_an_integer_where_one_is_declared(
    shared_doubler: RunningInstance,
) -> None:
    answer = shared_doubler.request("POST", "/execute", b'{"input": {"x": [3.0, 1e2]}}')

    assert answer.body == b'{"output":{"y":[6,200]}}'


def test_an_exception_of_the_cell_is_told_with_its_lines(instances: Instances) -> None:
    cell = 'message = "no such thing"\nraise KeyError(message)'
    instance = instances.start(cell).ready()

    answer = instance.execute(X_Request_ID="r-1")

    assert (answer.status, answer.headers["cellnode-error"]) == (500, "cell")
    document = answer.json
    assert (document["code"], document["exception"]) == ("cell-error", "KeyError")
    assert document["message"] == "'no such thing'"
    assert document["request_id"] == "r-1"
    assert document["traceback"].startswith(
        'Traceback (most recent call last):\n  File "<cell>", line 2, in <module>\n'
        "    raise KeyError(message)\n"
    )
    assert "raise KeyError(message)" in instance.log()


def test_brief_errors_keep_the_traceback_back(instances: Instances) -> None:
    instance = instances.start("1 / 0").ready()

    document = instance.execute(Cellnode_Errors="brief").json

    assert document["exception"] == "ZeroDivisionError"
    assert "traceback" not in document


@pytest.mark.parametrize(
    "cell",
    [
        "raise SystemExit(3)",
        "raise KeyboardInterrupt",
        "class A(Exception):\n    def __str__(self): return 1/0\nraise A",
    ],
)
def test_no_exception_ends_the_interpreter(instances: Instances, cell: str) -> None:
    instance = instances.start(f"runs = runs + 1\n{cell}", state="runs = 0").ready()
    pid = instance.fork_pid

    assert [instance.execute().json["code"] for _ in range(2)] == ["cell-error"] * 2
    assert instance.fork_pid == pid


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("pass", "the cell set no variable y"),
        ("y = {1, 2}", "output y of type set"),
        ("y = [object()]", "output y of type list"),
        ("y = float('nan')", "output y of type float"),
        ("y = {(1, 2): 3}", "output y of type dict"),
        ("y = []; y.append(y)", "output y of type list"),
        ("y = '\\ud800'", "output y of type str"),
        ("class Model: ...\ny = Model()", "output y of type __main__.Model"),
    ],
)
def test_an_output_that_json_cannot_express_is_named(
    instances: Instances, cell: str, words: str
) -> None:
    instance = instances.start(f"ok = 1\n{cell}", outputs=["ok", "y"]).ready()

    answer = instance.execute()

    assert (answer.status, answer.json["code"]) == (500, "invalid-output")
    assert answer.json["field"] == "output.y"
    assert words in answer.json["detail"]


def test_bodies_of_exactly_16_mib_pass_both_ways(instances: Instances) -> None:
    instance = instances.start("y = x", inputs=["x"], outputs=["y"]).ready()
    size = 16 * MIB - len('{"input":{"x":""}}')
    request = b'{"input":{"x":"%b"}}' % (b"a" * size)
    # The answer is one byte longer than the request.
    shorter = request.replace(b"a", b"", 1)

    too_long = instance.request("POST", "/execute", request)
    exact = instance.request("POST", "/execute", shorter)

    assert len(request) == 16 * MIB
    assert (too_long.status, too_long.json["code"]) == (500, "response-too-large")
    assert (exact.status, len(exact.body)) == (200, 16 * MIB)


def test_a_body_of_one_byte_more_is_refused(instances: Instances) -> None:
    instance = instances.start("y = len(x)", inputs=["x"], outputs=["y"]).ready()
    size = 16 * MIB - len('{"input":{"x":""}}')
    body = b'{"input":{"x":"%b"}}' % (b"a" * size)

    assert instance.request("POST", "/execute", body).json == {"output": {"y": size}}
    answer = instance.request("POST", "/execute", body + b" ")

    assert (answer.status, answer.json["code"]) == (413, "request-too-large")
    assert answer.headers["cellnode-not-executed"] == "true"


def test_what_a_cell_prints_is_in_the_log(instances: Instances) -> None:
    cell = "import sys\nprint('to out')\nprint('to err', file=sys.stderr)\nprint('no end', end='')"
    instance = instances.start(cell).ready()
    instance.execute()

    instance.execute()

    assert instance.log().count("to out") == 2
    assert "to err" in instance.log()
    assert "no end" in instance.log()


def test_the_cell_runs_in_its_own_directory_without_the_agents_environment(
    instances: Instances,
) -> None:
    cell = "import os, sys\nwhere = os.getcwd()\nenv = dict(os.environ)\npath = sys.path"
    instance = instances.start(
        cell, outputs=["where", "env", "path"], env={"GREETING": "hello"}
    ).ready()

    output = instance.output()

    assert output["where"] == str(instance.directory / "work")
    assert output["env"]["GREETING"] == "hello"
    assert "PYTHONPATH" not in output["env"]
    assert not [entry for entry in output["path"] if entry.endswith("interpreter")]


def test_arrays_come_in_as_they_were_pinned_and_go_out_as_lists(instances: Instances) -> None:
    state = "import numpy as np\nx = np.zeros((4, 2), dtype='float32')"
    pinned = instances.pin(state)
    schema = next(v["schema"] for v in pinned.manifest["variables"] if v["name"] == "x")
    cell = "kind = str(x.dtype); total = x.sum(axis=0); first = x[0, 0]; flag = np.bool_(True)"
    instance = instances.start(
        cell,
        checkpoint=pinned.digest,
        inputs=[{"name": "x", "schema": schema}],
        outputs=["kind", "total", "first", "flag"],
    ).ready()

    output = instance.output({"x": [[1, 2], [3, 4.5]]})
    refused = instance.execute({"x": [[1, 2, 3]]})

    assert output == {"kind": "float32", "total": [4.0, 6.5], "first": 1.0, "flag": True}
    assert (refused.status, refused.json["field"]) == (400, "input.x[0]")


def test_an_input_named_alone_has_the_type_it_was_pinned_with(instances: Instances) -> None:
    state = "x = [1, 2]\nlater = None"
    instance = instances.start("y = x + [later]", state=state, inputs=["x", "later"], outputs=["y"])

    answer = instance.ready().execute({"x": ["a"], "later": 1})

    assert (answer.status, answer.json["field"]) == (400, "input.x[0]")
    assert instance.output({"x": [3.0], "later": "b"}) == {"y": [3, "b"]}


def test_every_problem_of_the_interpreter_is_one_of_the_published_ones() -> None:
    from runtime.interpreter import values

    published = {code: tuple(PROBLEMS[code]) for code in values.PROBLEMS}

    assert published == values.PROBLEMS
