"""Promises that need a whole system of their own, on Apache Kafka and Debian's Redis.

Apart from the others, since systems that run side by side cannot share topics.
"""

from __future__ import annotations

import pytest

from tests.e2e import test_promises as promises
from tests.repeating import repeated

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

globals().update(repeated(promises, using=["own_system", "small_world"]))
