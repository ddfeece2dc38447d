"""The manifest: its digest is its name, and mismatches are said exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.checkpoints import MANIFEST_BYTES_MAX, Inventory, Manifest, mismatches, parse_manifest
from schemas.errors import CheckpointFault
from schemas.ids import canonical_json, digest_of
from schemas.statuses import Reason

BLOB = {"sha256": "b" * 64, "bytes": 10}


def a_manifest(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "python": {"implementation": "cpython", "version": "3.11.7", "executable": "/usr/bin/py"},
        "platform": {"system": "linux", "machine": "x86_64"},
        "cloudpickle": "3.1.2",
        "packages": {"numpy": "2.4.6"},
        "modules": [{"name": "np", "module": "numpy"}],
        "groups": [{"blob": BLOB, "buffers": [BLOB]}],
        "variables": [
            {"name": "x", "type": "int", "schema": {"type": "integer"}, "bytes": 10, "group": 0}
        ],
    } | changes


def an_inventory(version: str = "3.11.9", **packages: str) -> Inventory:
    python = {"implementation": "cpython", "version": version, "executable": "/usr/bin/py"}
    platform = {"system": "linux", "machine": "x86_64"}
    return Inventory.model_validate({"python": python, "platform": platform, "packages": packages})


def test_a_manifest_is_read_by_its_digest_and_lists_each_blob_once() -> None:
    given = a_manifest()
    manifest = parse_manifest(json.dumps(given).encode(), digest_of(given))

    assert [blob.sha256 for blob in manifest.blobs()] == ["b" * 64]


def test_fields_of_a_later_minor_format_take_part_in_the_digest() -> None:
    given = a_manifest(later={"a": 1})

    assert parse_manifest(canonical_json(given), digest_of(given)).python.minor == "3.11"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        canonical_json(a_manifest(format=2)),
        canonical_json(a_manifest(cloudpickle="3.1.3")),
        canonical_json(a_manifest())[:-1],
        canonical_json(a_manifest()).replace(b'"bytes":10', b'"bytes":-1'),
    ],
)
def test_a_damaged_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(CheckpointFault):
        parse_manifest(raw, digest_of(a_manifest()))


def test_a_manifest_that_is_too_large_is_not_parsed() -> None:
    raw = canonical_json(a_manifest()) + b" " * MANIFEST_BYTES_MAX
    with pytest.raises(CheckpointFault, match="too large"):
        parse_manifest(raw, digest_of(a_manifest()))


@pytest.mark.parametrize(
    ("inventory", "expected"),
    [
        (an_inventory(numpy="2.4.6"), []),
        (
            an_inventory(),
            [(Reason.PACKAGE_MISSING, "numpy 2.4.6 is not installed")],
        ),
        (
            an_inventory(numpy="2.3.0"),
            [(Reason.PACKAGE_MISMATCH, "numpy 2.4.6 was pinned, 2.3.0 is installed")],
        ),
        (
            an_inventory("3.12.1", numpy="2.4.6"),
            [
                (
                    Reason.PYTHON_MISMATCH,
                    "pinned by cpython 3.11.7, the node has cpython 3.12.1",
                )
            ],
        ),
    ],
)
def test_every_difference_is_said_exactly(
    inventory: Inventory, expected: list[tuple[Reason, str]]
) -> None:
    assert mismatches(Manifest.model_validate(a_manifest()), inventory) == expected
