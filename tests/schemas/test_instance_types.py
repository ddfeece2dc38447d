"""The operator's table of instance types: read whole, or refused naming what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidField
from schemas.instance_types import (
    INSTANCE_TYPES,
    INSTANCE_TYPES_MAX,
    TABLE_CHARACTERS_MAX,
    InstanceType,
    parse_instance_types,
)

GIB = 1024**3
PLAIN: dict[str, Any] = {"cpu_count": 2, "memory_bytes": GIB, "units_per_hour": 1.5}


def table(**changes: Any) -> str:
    return json.dumps({"c1.4": PLAIN | changes})


def test_a_table_is_read_in_its_order_with_what_it_leaves_out_filled_in() -> None:
    given_types = {"gpu-a100": PLAIN | {"files_max": 128}, "c1.4": PLAIN | {"units_per_hour": 0}}
    types = parse_instance_types(json.dumps(given_types))

    assert list(types) == ["gpu-a100", "c1.4"]
    assert types["gpu-a100"] == InstanceType(**PLAIN, files_max=128)
    assert (types["c1.4"].units_per_hour, types["c1.4"].processes_max) == (0.0, 512)


def test_the_built_in_table_survives_being_written_and_read() -> None:
    written = json.dumps({name: kind.model_dump() for name, kind in INSTANCE_TYPES.items()})

    assert parse_instance_types(written) == INSTANCE_TYPES


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", None, "not JSON"),
        ('{"c1.4": {', None, "not JSON"),
        ("[" * 100_000, None, "not JSON"),
        ("[]", None, "valid dictionary"),
        ("{}", None, "at least 1 item"),
        ('{"a": 1, "a": 2}', None, "'a' stands there twice"),
        (table(units_per_hour=float("nan")), None, "NaN is no number"),
        (json.dumps({"Big one": PLAIN}), "Big one", "not well-formed"),
        (json.dumps({"big": "2 CPUs"}), "big", "valid dictionary"),
        (json.dumps({"big": {"cpu_count": 1}}), "big.memory_bytes", "required"),
        (table(cpu_count=0), "c1.4.cpu_count", "greater than or equal to 1"),
        (table(cpu_count="2"), "c1.4.cpu_count", "valid integer"),
        (table(cpu_count=True), "c1.4.cpu_count", "valid integer"),
        (table(memory_bytes=1), "c1.4.memory_bytes", "greater than or equal"),
        (table(units_per_hour=-1), "c1.4.units_per_hour", "greater than or equal"),
        (table(gpus=1), "c1.4.gpus", "not permitted"),
        (json.dumps({f"t{n}": PLAIN for n in range(INSTANCE_TYPES_MAX + 1)}), None, "at most"),
        (" " * (TABLE_CHARACTERS_MAX + 1), None, "over"),
    ],
)
def test_a_damaged_table_is_refused_naming_what_is_wrong(
    text: str, field: str | None, said: str
) -> None:
    with pytest.raises(InvalidField) as refusal:
        parse_instance_types(text)

    assert refusal.value.field == field
    assert said in refusal.value.sentence
    assert field is None or field in refusal.value.sentence


names = st.text(max_size=5) | st.just("c1.4")
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
)


@given(st.text() | values.map(json.dumps))
def test_no_text_whatever_is_anything_but_refused(text: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        parse_instance_types(text)
    assert refusal.value.sentence
