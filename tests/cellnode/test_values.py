"""Values out and in: what becomes JSON, what cannot and where it stands, what comes back."""

import json
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from cellnode.errors import ValueNotSent
from cellnode.signature import Signature
from cellnode.values import BytesFound, encoded

BASE64 = {"type": "string", "contentEncoding": "base64"}
TIME = {"type": "string", "format": "date-time"}
NOON = datetime(2026, 5, 4, 12, 0, 0, 120_000, tzinfo=timezone.utc)


def sent(value: Any) -> Any:
    return json.loads(encoded({"x": value}))["input"]["x"]


@pytest.mark.parametrize(
    ("value", "json_value"),
    [
        (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        ({"a": [np.int64(3), (1, 2)]}, {"a": [3, [1, 2]]}),
        (np.array(["2026-05-04"], dtype="datetime64[D]"), ["2026-05-04"]),
        (np.array(["ä"]), ["ä"]),
        (NOON, "2026-05-04T12:00:00.120000+00:00"),
        (date(2026, 5, 4), "2026-05-04"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_values_become_what_the_interpreter_decodes(value: Any, json_value: Any) -> None:
    assert sent(value) == json_value


class Frame:
    """As much of a DataFrame as is asked of one."""

    columns = ("a",)

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"a": np.int64(1)}, {"a": np.int64(2)}]


def test_a_table_becomes_a_list_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Frame, "__module__", "pandas.core.frame")

    assert sent(Frame()) == [{"a": 1}, {"a": 2}]


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "path", "told"),
    [
        ({"a": [1, float("nan")]}, "x.a[1]", "nan has no form in JSON"),
        (np.array([[0.0, 1.0], [2.0, np.inf]]), "x[1][1]", "inf has no form in JSON"),
        ([{1, 2}], "x[0]", "a set has no form in JSON; send a list"),
        (Path("/"), "x", "has no form in JSON"),
        ("\ud800", "x", "half of a character"),
        ({(1, 2): 3}, "x", "the key (1, 2) is no text"),
        (np.array([1], dtype="timedelta64[s]"), "x", "timedelta64[s] has no form in JSON"),
        (np.longdouble(1), "x", "longdouble has no form in JSON"),
        (circle(), "x" + "[0]" * 129, "holds itself"),
        (1j, "x", "a complex has no form in JSON"),
    ],
)
def test_what_cannot_be_sent_is_told_with_its_path(value: Any, path: str, told: str) -> None:
    with pytest.raises(ValueNotSent) as raised:
        encoded({"x": value})

    assert raised.value.path == path
    assert told in str(raised.value)


def signature(inputs: Any, outputs: Any) -> Signature:
    def part(name: str, variables: Any) -> Any:
        schema = {"properties": {name: {"$ref": f"#/components/schemas/{name}"}}}
        return {"content": {"application/json": {"schema": schema}}}

    call = {
        "requestBody": part("input", inputs),
        "responses": {"200": part("output", outputs)},
    }
    schemas = {"input": {"properties": inputs}, "output": {"properties": outputs}}
    return Signature(
        {"paths": {"/v1/nodes/a:execute": {"post": call}}, "components": {"schemas": schemas}}
    )


def test_bytes_are_sent_as_the_node_s_document_says() -> None:
    node = signature({"x": {"type": "object", "properties": {"raw": BASE64}}}, {})

    with pytest.raises(BytesFound):
        encoded({"x": {"raw": b"\0\xff"}})

    assert encoded(node.with_base64({"x": {"raw": b"\0\xff"}})) == b'{"input":{"x":{"raw":"AP8="}}}'


def test_bytes_that_the_node_does_not_take_are_refused_with_the_schema_that_it_needs() -> None:
    node = signature({"x": {"type": "string"}}, {})

    with pytest.raises(ValueNotSent, match=r'x: bytes .* "contentEncoding": "base64"'):
        encoded(node.with_base64({"x": b"1"}), may_hold_bytes=False)


def test_outputs_come_back_as_the_node_s_document_says() -> None:
    rows = {"type": "array", "items": {"properties": {"at": {"anyOf": [TIME, {"type": "null"}]}}}}
    kinds = {"raw": BASE64, "rows": rows, "day": {"format": "date"}, "n": {"type": "number"}}
    given = {"raw": "AP8=", "rows": [{"at": "2026-05-04T12:00:00.12Z"}, {"at": None}], "n": 1}

    assert signature({}, kinds).read({**given, "day": "2026-05-04"}) == {
        "raw": b"\0\xff",
        "rows": [{"at": NOON}, {"at": None}],
        "day": date(2026, 5, 4),
        "n": 1,
    }


def test_an_output_that_is_not_as_its_document_says_stays_as_it_is() -> None:
    node = signature({}, {"raw": BASE64, "at": TIME})

    assert node.read({"raw": "?", "at": 3}) == {"raw": "?", "at": 3}


@pytest.mark.parametrize("document", [None, [], {"paths": 3}, {"paths": {"/x:execute": None}}])
def test_a_document_of_another_shape_says_nothing(document: Any) -> None:
    assert Signature(document).read({"x": "AP8="}) == {"x": "AP8="}


def test_a_schema_that_holds_itself_is_followed_to_its_limit() -> None:
    loop = {"type": "array", "items": {"$ref": "#/components/schemas/output/properties/x"}}

    assert signature({}, {"x": loop}).read({"x": [[]]}) == {"x": [[]]}
