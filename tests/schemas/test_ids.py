"""Identity: names, partitions as Kafka's Java client picks them, digests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import canonical_json, digest_of, instance_id, murmur2, partition_of
from tests.builders import UID

# From the tests of Kafka's Java client (`UtilsTest.testMurmur2`), as unsigned numbers.
JAVA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("data", JAVA_HASHES)
def test_murmur2_equals_the_java_client(data: bytes) -> None:
    assert JAVA_HASHES[data] & 0xFFFFFFFF == murmur2(data)


@given(st.text(max_size=80), st.integers(1, 64))
def test_a_place_always_has_the_same_partition_within_the_count(
    place: str, partitions: int
) -> None:
    assert 0 <= partition_of(place, partitions) < partitions
    assert partition_of(place, partitions) == partition_of(place, partitions)


def test_an_instance_is_named_after_its_node_its_uid_and_its_number() -> None:
    assert instance_id("digits", UID, 7) == "digits-3fa9c1-7"


def test_canonical_json_sorts_keys_and_has_no_spaces() -> None:
    assert (
        canonical_json({"b": [1, True, None], "a": "é"}) == '{"a":"é","b":[1,true,null]}'.encode()
    )


def test_the_digest_of_equal_values_is_equal_whatever_their_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


@pytest.mark.parametrize("value", [1.5, {"a": [1, {"b": 0.1}]}])
def test_a_float_has_no_canonical_form_and_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="canonical"):
        canonical_json(value)
