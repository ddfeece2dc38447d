"""The only door to redis-py: deadlines and retries set by hand, errors mapped to our tree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from redis.asyncio import from_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)

from schemas.errors import StoreUnavailable
from services.chassis.settings_security import RedisLogin, refused_certificate

T = TypeVar("T")
Fields = dict[bytes, bytes]
Argument = str | bytes | int

TIMEOUT_SECONDS = 2.0
CONNECTIONS_MAX = 64
NO_LOGIN = RedisLogin()


@dataclass(frozen=True)
class FeedEntry:
    """One entry of a stream."""

    id: str
    fields: Fields


@dataclass(frozen=True)
class Script:
    """A Lua script, sent whole the first time and by its digest afterwards."""

    source: str


@dataclass
class Steps:
    """Commands that Redis carries out in one step, in this order."""

    commands: list[tuple[Argument, ...]] = field(default_factory=list)

    def add(self, *command: Argument) -> Steps:
        self.commands.append(command)
        return self


class Redis:
    """What services need of Redis; every call ends within its deadline or StoreUnavailable."""

    def __init__(
        self,
        url: str,
        *,
        login: RedisLogin = NO_LOGIN,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._client: Any = from_url(  # Its answers are typed here, not there.
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),
            max_connections=CONNECTIONS_MAX,
            **_login_options(login),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ping(self) -> None:
        """Answered, or StoreUnavailable."""
        await self.command("PING")

    async def command(self, *command: Argument) -> object:
        """Any one command."""
        return await _mapped(self._client.execute_command(*command))

    async def hgetall(self, key: str) -> Fields:
        """All fields of a hash; empty if there is none."""
        fields: Fields = await _mapped(self._client.hgetall(key))
        return fields

    async def step(self, steps: Steps) -> list[object]:
        """All of the commands in one MULTI, their answers in order."""
        async with self._client.pipeline(transaction=True) as pipeline:
            for command in steps.commands:
                pipeline.execute_command(*command)
            answers: list[object] = await _mapped(pipeline.execute())
        return answers

    async def many(self, steps: Steps) -> list[object]:
        """All of the commands in one round trip, others' commands perhaps between them."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in steps.commands:
                pipeline.execute_command(*command)
            answers: list[object] = await _mapped(pipeline.execute())
        return answers

    async def hgetalls(self, keys: Sequence[str]) -> list[Fields]:
        """Several hashes as they were at one moment."""
        async with self._client.pipeline(transaction=True) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            hashes: list[Fields] = await _mapped(pipeline.execute())
        return hashes

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> object:
        """Carry out a script; it is one step for everybody else."""
        registered = self._client.register_script(script.source)
        return await _mapped(registered(keys=list(keys), args=list(arguments)))

    async def xread(
        self, after: Mapping[str, str], *, count: int, wait_seconds: float
    ) -> dict[str, list[FeedEntry]]:
        """Entries of streams after the given ids; waits for the first of any, then answers."""
        block_ms = int(min(wait_seconds, self._timeout_seconds / 2) * 1000)
        answer = await _mapped(self._client.xread(dict(after), count=count, block=max(1, block_ms)))
        return {_text(stream): [_entry(*one) for one in entries] for stream, entries in answer}


@asynccontextmanager
async def connected(
    url: str, *, login: RedisLogin = NO_LOGIN, timeout_seconds: float = TIMEOUT_SECONDS
) -> AsyncIterator[Redis]:
    """Redis for as long as this is entered; it is not asked before the first call."""
    redis = Redis(url, login=login, timeout_seconds=timeout_seconds)
    try:
        yield redis
    finally:
        await redis.close()


async def _mapped(call: Awaitable[T]) -> T:
    try:
        return await call
    except (RedisError, OSError) as error:
        raise StoreUnavailable(_in_words(error)) from error


def _in_words(error: BaseException) -> str:
    """With a remedy where a login, a right or a certificate is missing."""
    said = f"Redis: {type(error).__name__}: {error}"
    if isinstance(error, AuthenticationError) and not isinstance(error, AuthorizationError):
        return f"{said}; check REDIS_USERNAME and REDIS_PASSWORD, or the login in REDIS_URL"
    if isinstance(error, NoPermissionError):
        return f"{said}; this user's ACL lacks it, see deploy/redis/users.acl"
    if refused_certificate(error):
        return f"{said}; Redis does not take what REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE show"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"{said}; check REDIS_SSL_CAFILE and the host in REDIS_URL"
    return said


def _login_options(login: RedisLogin) -> dict[str, Any]:
    """In the library's words; a URL without TLS takes none of the options for it."""
    options: dict[str, Any] = {}
    if login.password is not None:
        options = {"username": login.username, "password": login.password.get_secret_value()}
    if (tls := login.tls) is not None:
        options["ssl_check_hostname"] = tls.checks_hostname
        files = {"ca_certs": tls.cafile, "certfile": tls.certfile, "keyfile": tls.keyfile}
        options |= {f"ssl_{name}": str(file) for name, file in files.items() if file is not None}
    return options


def _entry(id: bytes, fields: Mapping[bytes, bytes] | None) -> FeedEntry:
    return FeedEntry(_text(id), dict(fields or {}))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
