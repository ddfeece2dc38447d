"""Errors: one tree, and each reads as what is wrong and what to do."""

import pickle
from typing import Any

import pytest

from cellnode import errors
from cellnode.errors import CellnodeError, ProblemError, ServerUnreachable
from schemas.http import PROBLEMS

BY_STATUS = {
    404: "NotFound", 409: "Conflict", 410: "NotFound", 412: "Conflict", 500: "ServerFailed",
    501: "NotBuilt", 502: "Unavailable", 503: "Unavailable", 504: "TimedOut", 507: "Unavailable",
}  # fmt: skip
BY_CODE = {"cell-error": "CellFailed", "node-unhealthy": "NodeUnhealthy"}


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_has_its_place_in_the_tree(code: str) -> None:
    status, title = PROBLEMS[code]

    error = ProblemError.of(status, {"code": code, "title": title})

    assert type(error).__name__ == BY_CODE.get(code, BY_STATUS.get(status, "Invalid"))
    assert str(error) == title


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"detail": "no such pin.", "remedy": "make one"}, "no such pin; make one"),
        ({"detail": "must be a number", "field": "input.x"}, "input.x: must be a number"),
        ({"detail": "input.x must be a number", "field": "input.x"}, "input.x must be a number"),
        ({}, "the server answered 400"),
        ({"detail": 3, "code": None}, "the server answered 400"),
    ],
)
def test_a_problem_reads_as_a_sentence_and_its_remedy(document: Any, told: str) -> None:
    assert str(ProblemError.of(400, document)) == told


def test_all_members_of_a_problem_are_kept() -> None:
    error = ProblemError.of(500, {"code": "cell-error", "traceback": "Trace", "later": 1})

    assert isinstance(error, errors.CellFailed)
    assert (error.traceback, error.document["later"]) == ("Trace", 1)


def test_a_problem_crosses_to_another_process() -> None:
    error = ProblemError.of(404, {"code": "node-unknown", "detail": "none", "request_id": "r"})

    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), again.request_id) == (type(error), "none", "r")


def test_everything_that_is_raised_is_one_family() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]

    assert all(issubclass(kind, CellnodeError) for kind in kinds if issubclass(kind, Exception))
    assert "cellnode up" in str(ServerUnreachable("http://x", "refused"))
