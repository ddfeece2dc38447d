"""The generated models: as the api's schemas say, and kind to what they do not know."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from cellnode.documents import time_of
from cellnode.errors import AnswerNotUnderstood
from cellnode.models import NodeView, PinView
from docs.models import TARGET, components, source
from schemas.views import NodeView as View
from tests.cellnode.sample_node import NODE, SINCE


def test_the_models_are_what_the_api_s_schemas_say() -> None:
    assert TARGET.read_text() == source(components()), "run `make models`"


def test_a_view_of_the_api_is_read_and_told_again() -> None:
    told = View.model_validate(NODE).model_dump(mode="json", by_alias=True)
    view = NodeView.from_json(told)

    assert view.created_at == datetime(2026, 5, 4, 12, tzinfo=timezone.utc)
    assert view.status is not None
    assert (view.status.status, view.spec.inputs[0].name) == ("HEALTHY", "x")
    assert view.to_json() == told


def test_fields_that_this_version_does_not_know_are_left_out() -> None:
    assert NodeView.from_json({**NODE, "later": 1}) == NodeView.from_json(NODE)


@pytest.mark.parametrize(
    "document", [{}, {**NODE, "created_at": "noon"}, {**NODE, "instances": 3}, [], None]
)
def test_an_answer_of_another_version_is_told(document: Any) -> None:
    with pytest.raises(AnswerNotUnderstood, match="NodeView does not fit"):
        NodeView.from_json(document)


@pytest.mark.parametrize(
    ("text", "microseconds", "hours"),
    [
        ("2026-05-04T12:00:00Z", 0, 0),
        ("2026-05-04T12:00:00.1234567Z", 123456, 0),
        ("2026-05-04T12:00:00.5+02:00", 500_000, 2),
    ],
)
def test_times_are_read_in_every_form_of_rfc_3339(text: str, microseconds: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))

    assert time_of(text) == datetime(2026, 5, 4, 12, 0, 0, microseconds, tzinfo=zone)


def test_models_are_frozen() -> None:
    view = PinView.from_json({"project": "a", "name": "b", "digest": "c", "at": SINCE})

    with pytest.raises(AttributeError):
        view.name = "d"  # type: ignore[misc]
