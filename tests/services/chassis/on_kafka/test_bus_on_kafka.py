"""The delivery policy and the tables' readers and owners once more, on Apache Kafka."""

from __future__ import annotations

import pytest

from tests.repeating import repeated
from tests.services.chassis import test_bus, test_tables, test_tables_owner

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(60)]

# These are about a bus that forgets; this one does not.
FORGETFUL = [
    "test_what_the_broker_forgot_makes_a_table_incomplete",
    "test_a_reader_that_fell_behind_what_the_broker_keeps_folds_again",
]

globals().update(
    {
        **repeated(test_bus, using=["kafka"]),
        **repeated(test_tables, using=["kafka"], leaving_out=FORGETFUL),
        **repeated(
            test_tables_owner,
            using=["kafka"],
            leaving_out=["test_a_whole_table_survives_a_bus_that_keeps_five_mebibytes"],
        ),
    }
)
