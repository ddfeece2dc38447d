"""A Kafka and a Redis that run elsewhere: asked in their own words whether they are there."""

from __future__ import annotations

import asyncio
import os
import ssl
import struct
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from cellnode.launcher.places import UpFailed
from cellnode.launcher.secured import kafka_tls, redis_login, tls

ASK_SECONDS_MAX = 3.0
KAFKA_PORT, REDIS_PORT, PORT_MAX = 9092, 6379, 65535
_API_VERSIONS = 18
_CORRELATION = 0x43454C4C
_ANSWER_BYTES_MAX = 1024 * 1024
_REFUSALS = (OSError, asyncio.TimeoutError, EOFError, ValueError)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def check_kafka(addresses: str) -> None:
    """UpFailed unless one of `host:port,host:port` answers as a Kafka broker does.

    The login is for the services to try: a broker answers this question without one.
    """
    troubles, secured = [], kafka_tls()
    for address in addresses.split(","):
        try:
            host, port = _host_and_port(address.strip())
            await _asked(partial(asyncio.open_connection, host, port, ssl=secured), _ask_kafka)
        except _REFUSALS as error:
            troubles.append(f"{address.strip()}: {_in_words(error)}")
        else:
            return
    raise UpFailed(
        f"no Kafka broker answers ({'; '.join(troubles)}). Start it, or name another: "
        "cellnode up --kafka HOST:PORT; without --kafka a broker is started here"
    )


async def check_redis(url: str) -> None:
    """UpFailed unless a Redis answers a PING there."""
    parts = _redis_url(url)
    try:
        await _asked(lambda: _redis_streams(parts), lambda streams: _ping(streams, parts))
    except _REFUSALS as error:
        raise UpFailed(
            f"no Redis answers at {without_login(url)} ({_in_words(error)}). Start it, or "
            "name another: cellnode up --redis URL; without --redis one is started here"
        ) from None


def _redis_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("redis", "rediss", "unix") and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise UpFailed("--redis is no URL of a Redis; for example redis://127.0.0.1:6379/0")


async def _asked(
    connect: Callable[[], Coroutine[Any, Any, Streams]],
    ask: Callable[[Streams], Coroutine[Any, Any, None]],
) -> None:
    async def connected() -> None:
        streams = await connect()
        try:
            await ask(streams)
        finally:
            streams[1].close()

    await asyncio.wait_for(connected(), ASK_SECONDS_MAX)


async def _ask_kafka(streams: Streams) -> None:
    """ApiVersions, version 0: every broker answers it, without a login."""
    reader, writer = streams
    body = struct.pack(">hhih", _API_VERSIONS, 0, _CORRELATION, -1)
    writer.write(struct.pack(">i", len(body)) + body)
    size, correlation = struct.unpack(">ii", await reader.readexactly(8))
    if correlation != _CORRELATION or not 0 < size <= _ANSWER_BYTES_MAX:
        raise ValueError("it does not speak Kafka's protocol")


async def _redis_streams(parts: SplitResult) -> Streams:
    if parts.scheme == "unix":
        return await asyncio.open_unix_connection(unquote(parts.path))
    host, port = parts.hostname or "127.0.0.1", parts.port or REDIS_PORT
    secured = tls("REDIS") if parts.scheme == "rediss" else None
    return await asyncio.open_connection(host, port, ssl=secured)


async def _ping(streams: Streams, parts: SplitResult) -> None:
    reader, writer = streams
    login = redis_login()
    if parts.password is not None:
        user = [unquote(parts.username)] if parts.username else []
        login = [*user, unquote(parts.password)]
    if login:
        writer.write(_words("AUTH", *login))
        await _expect(reader, b"+OK")
    writer.write(_words("PING"))
    await _expect(reader, b"+PONG")


async def _expect(reader: asyncio.StreamReader, wanted: bytes) -> None:
    line = (await reader.readline()).strip()
    if line != wanted:
        raise ValueError(f"it answers {line[:100].decode(errors='replace') or 'nothing'!r}")


def _words(*words: str) -> bytes:
    parts = (word.encode() for word in words)
    coded = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%b" % (len(words), coded)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host:
        return address, KAFKA_PORT
    if not 0 < int(port) <= PORT_MAX:
        raise ValueError(f"{port} is no port")
    return host.strip("[]"), int(port)


def without_login(url: str) -> str:
    """As it may be shown and written."""
    scheme, _, rest = url.partition("://")
    return url if rest.startswith("/") else f"{scheme}://{rest.rpartition('@')[2]}"


def _in_words(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer in {ASK_SECONDS_MAX:g} s"
    if isinstance(error, EOFError):
        return "it closed the connection"
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", "") or str(error.reason)
    number = getattr(error, "errno", None)
    return os.strerror(number) if number and number > 0 else str(error)
