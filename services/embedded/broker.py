"""librdkafka's in-process Kafka broker, driven through the library that confluent_kafka loaded.

It speaks the real protocol over TCP on loopback, lives in memory, keeps the newest 5 MiB of a
partition whatever the topic says, and serves one member per consumer group.
"""

from __future__ import annotations

import ctypes
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distribution
from types import TracebackType

_ERROR_BYTES = 512
_BROKER_COUNT = 1
_BROKER_ID = 1
_LOG_ERRORS_ONLY = "3"
KNOCK_SECONDS = 0.003
KNOCK_TIMEOUT_SECONDS = 1.0


class EmbeddedBrokerFailed(RuntimeError):
    """librdkafka refused; the message says what was asked of it."""


class EmbeddedBroker:
    """A broker that lives from `start` to `stop`, or inside a `with`."""

    def __init__(self, topics: Iterable[str], partitions: int) -> None:
        self._topics = tuple(topics)
        self._partitions = partitions
        self._library = _library()
        self._handle: int | None = None
        self._cluster: int | None = None

    @property
    def address(self) -> str:
        """`host:port` on loopback, the port chosen by the system."""
        value = self._library.rd_kafka_mock_cluster_bootstraps(self._running())
        return str(value.decode())

    def start(self) -> None:
        """Listen, with every topic made and no delay before a group's first join."""
        self._handle = self._new_handle()
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, _BROKER_COUNT)
        if not self._cluster:
            raise EmbeddedBrokerFailed("cannot listen on loopback")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        with self._awake():
            for topic in self._topics:
                self._create(topic)

    def stop(self) -> None:
        """Stop listening and forget every record."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._handle:
            self._library.rd_kafka_destroy(self._handle)
        self._cluster = self._handle = None

    def down(self) -> None:
        """Fault: close every connection and refuse new ones; records stay."""
        self._check(
            self._library.rd_kafka_mock_broker_set_down(self._running(), _BROKER_ID), "go down"
        )

    def up(self) -> None:
        """End of the fault `down`."""
        self._check(
            self._library.rd_kafka_mock_broker_set_up(self._running(), _BROKER_ID), "come up"
        )

    def slow(self, round_trip_ms: int) -> None:
        """Fault: answer every request this late; 0 ends it."""
        code = self._library.rd_kafka_mock_broker_set_rtt(
            self._running(), _BROKER_ID, round_trip_ms
        )
        self._check(code, f"answer {round_trip_ms} ms late")

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _new_handle(self) -> int:
        text = ctypes.create_string_buffer(_ERROR_BYTES)
        config = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(
            config, b"log_level", _LOG_ERRORS_ONLY.encode(), text, _ERROR_BYTES
        )
        handle = self._library.rd_kafka_new(0, config, text, _ERROR_BYTES)
        if not handle:
            raise EmbeddedBrokerFailed(f"cannot start librdkafka: {text.value.decode()}")
        return int(handle)

    @contextmanager
    def _awake(self) -> Iterator[None]:
        """Keep the broker's thread busy: it looks for our calls only once a second, or at IO."""
        host, _, port = self.address.rpartition(":")
        done = threading.Event()

        def knock() -> None:
            while not done.wait(KNOCK_SECONDS):
                with suppress(OSError):
                    socket.create_connection((host, int(port)), KNOCK_TIMEOUT_SECONDS).close()

        knocking = threading.Thread(target=knock, name="embedded.knock", daemon=True)
        knocking.start()
        try:
            yield
        finally:
            done.set()
            knocking.join()

    def _create(self, topic: str) -> None:
        code = self._library.rd_kafka_mock_topic_create(
            self._cluster, topic.encode(), self._partitions, _BROKER_COUNT
        )
        self._check(code, f"make the topic {topic} with {self._partitions} partitions")

    def _running(self) -> int:
        if not self._cluster:
            raise EmbeddedBrokerFailed("the broker is not started")
        return self._cluster

    def _check(self, code: int, what: str) -> None:
        if code:
            name = self._library.rd_kafka_err2name(code).decode()
            raise EmbeddedBrokerFailed(f"the embedded broker cannot {what}: {name}")


def _library() -> ctypes.CDLL:
    """The librdkafka inside confluent_kafka's wheel, with the signatures that we call."""
    import confluent_kafka  # noqa: F401  (loads the library that we then find)

    library = ctypes.CDLL(str(_library_path()))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_err2name": (text, [number]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_down": (number, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_up": (number, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_rtt": (number, [pointer, ctypes.c_int32, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _library_path() -> str:
    """Where the wheel keeps librdkafka (its interface is pinned with the wheel's version)."""
    wheel = distribution("confluent-kafka")
    for file in wheel.files or ():
        if "librdkafka" in file.name and ".so" in file.name:
            return str(wheel.locate_file(file))
    raise EmbeddedBrokerFailed("confluent-kafka's wheel holds no librdkafka; use Linux wheels")
