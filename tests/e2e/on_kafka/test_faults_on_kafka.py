"""Redis forgets, services are killed: on Apache Kafka and Debian's Redis callers notice nothing."""

from __future__ import annotations

import pytest

from tests.e2e import test_faults as faults
from tests.repeating import repeated

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

# Which servers run has no part in these; they take long.
globals().update(
    repeated(
        faults,
        leaving_out=[
            "test_graceful_restarts_of_the_gateway_cost_no_request_at_all",
            "test_updates_under_load_cost_no_request_even_if_requests_may_not_be_repeated",
        ],
    )
)
