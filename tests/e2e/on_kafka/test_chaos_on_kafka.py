"""Random commands and random deaths on Apache Kafka and Debian's Redis; the books must balance."""

from __future__ import annotations

import pytest

from tests.e2e import test_chaos as chaos
from tests.repeating import repeated

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

books = chaos.books  # The fixture; below it the systems of this folder.

globals().update(repeated(chaos, using=["books"]))
