"""The promises once more, on Apache Kafka and Debian's Redis."""

from __future__ import annotations

import pytest

from tests.e2e import test_promises as promises
from tests.repeating import repeated

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

globals().update(repeated(promises, not_using=["own_system", "small_world"]))
