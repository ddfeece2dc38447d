"""A body is taken exactly as the document describes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.views import BlobList, NodeWish, Scaling
from services.api.problems import ApiProblem
from services.api.requests import parsed

DIGEST = "a" * 64
SPEC = {"checkpoint": DIGEST, "cell": "y = x"}


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        (Scaling, body(want=3)),
        (Scaling, body(want=3.0)),
        (BlobList, body(blobs=[{"sha256": DIGEST, "bytes": 1e3}])),
        (NodeWish, body(**SPEC, deadline_seconds=1, instances={"want": 2.0})),
        (NodeWish, body(**SPEC, inputs=["x", {"name": "z", "schema": {"minimum": 0.5}}])),
    ],
)
def test_a_whole_number_is_an_integer_however_it_is_written(model: Any, sent: bytes) -> None:
    assert isinstance(parsed(model, sent), model)


@pytest.mark.parametrize(
    ("model", "sent", "field"),
    [
        (Scaling, body(want="3"), "want"),
        (Scaling, body(want=True), "want"),
        (Scaling, body(want=2.5), "want"),
        (BlobList, body(blobs=[{"sha256": DIGEST, "bytes": False}]), "blobs.0.bytes"),
        (NodeWish, body(**SPEC, idempotent="yes"), "idempotent"),
        (NodeWish, body(**SPEC, deadline_seconds="1"), "deadline_seconds"),
        (NodeWish, body(**SPEC, inputs=[{"name": "x", "schema": {"required": 3}}]), "inputs"),
        (NodeWish, body(**SPEC, outputs=[{"name": "x", "schema": {"pattern": "("}}]), "outputs"),
    ],
)
def test_a_text_is_no_number_and_a_number_no_truth(model: Any, sent: bytes, field: str) -> None:
    with pytest.raises(ApiProblem) as problem:
        parsed(model, sent)

    assert (problem.value.code, problem.value.field) == ("invalid-field", field)
