"""What the operations stand on, made once by the wiring."""

from __future__ import annotations

from dataclasses import dataclass

from services.api.consumers import News
from services.api.measures import Measures
from services.api.projection import Projection
from services.api.publishing import Publishing
from services.api.settings import ApiSettings
from services.api.store import Store
from services.api.streams import Streams
from services.api.usage_reading import UsageReading
from services.api.waiting import Waiting
from services.chassis.bus import Bus
from services.chassis.clock import Clock
from services.chassis.process import Process
from services.chassis.redis import Redis


@dataclass(frozen=True)
class Parts:
    """Given to each noun's `operations(parts)`."""

    process: Process[ApiSettings]
    bus: Bus
    redis: Redis
    store: Store
    projection: Projection
    news: News
    usage: UsageReading
    publishing: Publishing
    waiting: Waiting
    streams: Streams
    measures: Measures

    @property
    def settings(self) -> ApiSettings:
        return self.process.settings

    @property
    def clock(self) -> Clock:
        return self.process.clock


def parts_of(process: Process[ApiSettings], redis: Redis, store: Store) -> Parts:
    """Made, and connected to nothing yet."""
    settings, clock = process.settings, process.clock
    measures = Measures(process.metrics)
    bus, news = Bus(process), News(process, measures)
    partitions, timeout = settings.cellnode_partitions, settings.redis_timeout_seconds
    projection = Projection(redis, partitions, timeout_seconds=timeout)
    connection = process.readiness.require("bus")
    publishing = Publishing(bus, news.outcomes, connection, measures, clock=clock)
    waiting = Waiting(
        publishing,
        news.outcomes,
        news.events,
        projection,
        types=settings.instance_types,
        clock=clock,
    )
    streams = Streams(news.events, settings.streams_max)
    measures.streams.set_function(lambda: streams.count)
    measures.waits.set_function(lambda: waiting.count)
    usage = UsageReading(process)
    return Parts(
        process, bus, redis, store, projection, news, usage, publishing, waiting, streams, measures
    )
