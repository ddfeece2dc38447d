"""The api and two nodes of one checkpoint do what their documents say, case after case.

Thousands of cases are a part of `make bench-door`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.door_contracts import (
    NODES,
    OVERRIDES,
    VICTIM,
    Contracts,
    checked,
    serving,
)

pytestmark = pytest.mark.timeout(120)
EXAMPLES = 3


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with serving() as origin:
        yield origin


def told(found: Contracts) -> str:
    return "\n".join(found.failures)


@pytest.mark.full
def test_a_node_takes_and_answers_what_its_document_says(gateway: str) -> None:
    url = f"{gateway}/v1/nodes/{NODES[0]}/openapi.json"
    found = checked(url, 10, seed=1, overrides={}, phases="examples,fuzzing")

    assert found.failures == [], told(found)
    assert found.cases >= 5


@pytest.mark.full
@pytest.mark.parametrize("node", NODES)
def test_every_edge_of_a_nodes_document_is_the_nodes_own(gateway: str, node: str) -> None:
    found = checked(f"{gateway}/v1/nodes/{node}/openapi.json", EXAMPLES, seed=1, overrides={})

    assert found.failures == [], told(found)
    assert found.cases > 10


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_api_takes_and_answers_what_its_document_says(gateway: str) -> None:
    """Once with names that nobody has, and once with a node that is there."""
    for overrides in (OVERRIDES, {**OVERRIDES, "path.node": VICTIM}):
        found = checked(f"{gateway}/openapi.json", EXAMPLES, seed=1, overrides=overrides)

        assert found.failures == [], told(found)
        assert found.cases > 500
