"""Annotations, wired: statuses in, one annotation in Grafana for each change out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from services.annotations.consumers import following
from services.annotations.grafana import Grafana
from services.annotations.measures import Measures
from services.annotations.settings import AnnotationsSettings
from services.annotations.teller import Teller
from services.chassis.process import Process


@asynccontextmanager
async def wired(process: Process[AnnotationsSettings]) -> AsyncIterator[None]:
    """The whole service; `__main__.py` and the tests both enter here."""
    settings = process.settings
    headers = {"Authorization": f"Bearer {settings.token()}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        grafana = Grafana(session, settings.grafana_url, settings.timeout_seconds)
        teller = Teller(process, grafana, Measures(process.metrics))
        async with following(process, teller):
            yield
