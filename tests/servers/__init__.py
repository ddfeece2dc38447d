"""Apache Kafka and Debian's Redis as processes of one's own, for tests and measurements."""

from tests.servers.apache_kafka import ApacheKafka
from tests.servers.process import NotInstalled, NotReady
from tests.servers.redis_server import RedisServer

__all__ = ["ApacheKafka", "NotInstalled", "NotReady", "RedisServer"]
