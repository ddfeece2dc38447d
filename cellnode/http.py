"""The door to HTTP: requests over kept connections, asked again only where that is safe."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from cellnode.errors import ServerUnreachable
from cellnode.http_asking import (
    ANSWER_BYTES_MAX,
    Answer,
    Ask,
    Silent,
    Tries,
    headers_of,
    user_agent,
)
from cellnode.origin import LOOPBACK

CONNECT_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 100
# Shorter than servers keep idle connections: a request never meets one that is just closed.
IDLE_SECONDS = 15.0
# Nothing of the request has reached the server.
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Stream:
    """An answer whose body comes piece by piece."""

    def __init__(self, response: httpx2.Response, url: str) -> None:
        self._response = response
        self._url = url
        self.status = response.status_code

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes; ServerUnreachable if it is cut, or silent beyond its timeout."""
        try:
            yield from self._response.iter_bytes()
        except httpx2.ReadTimeout as error:
            raise Silent(self._url, told(error)) from error
        except httpx2.TransportError as error:
            raise ServerUnreachable(self._url, told(error)) from error

    def close(self) -> None:
        """Give the connection back, or close it if more was to come."""
        self._response.close()


class Http:
    """Requests to one server. May be used by several threads, and again after a fork."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        self._headers = {"User-Agent": user_agent(), **headers}
        self._client: httpx2.Client | None = None
        self._process = 0
        self._lock = threading.Lock()

    def ask(self, ask: Ask) -> Answer:
        """The answer, problems too; ServerUnreachable if none comes in the request's time."""
        tries = Tries(ask, self.url)
        headers = headers_of(ask, self._headers)
        while True:
            try:
                answer = self._once(ask, headers, tries)
                pause = tries.after_answer(answer)
                if pause is None:
                    return answer
            except httpx2.TransportError as error:
                pause = tries.after_failure(was_sent=not isinstance(error, NOT_SENT))
                if pause is None:
                    raise unreachable(error, tries, self.url) from error
            time.sleep(pause)

    @contextmanager
    def stream(self, ask: Ask, silent_seconds_max: float) -> Iterator[Stream]:
        """An open answer, once and without a try more; problems are raised."""
        timeout = httpx2.Timeout(CONNECT_SECONDS_MAX, read=silent_seconds_max)
        request = self._request(ask, headers_of(ask, self._headers), timeout)
        try:
            response = self._opened().send(request, stream=True)
        except httpx2.ReadTimeout as error:
            raise Silent(self.url, told(error)) from error
        except httpx2.TransportError as error:
            raise ServerUnreachable(self.url, told(error)) from error
        stream = Stream(response, self.url)
        try:
            if response.status_code >= 400:
                raise Answer(response.status_code, _lower(response), _all(stream)).problem()
            yield stream
        finally:
            stream.close()

    def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            client.close()

    def _once(self, ask: Ask, headers: Mapping[str, str], tries: Tries) -> Answer:
        request = self._request(ask, headers, timeout_of(tries))
        response = self._opened().send(request, stream=True)
        try:
            parts, size = [], 0
            for part in response.iter_bytes():
                parts.append(part)
                size += len(part)
                tries.must_not_be_over()
                must_fit(size, self.url)
            return Answer(response.status_code, _lower(response), b"".join(parts))
        finally:
            response.close()

    def _request(
        self, ask: Ask, headers: Mapping[str, str], timeout: httpx2.Timeout
    ) -> httpx2.Request:
        content = ask.content() if callable(ask.content) else ask.content
        return self._opened().build_request(
            ask.method,
            self.url + ask.path,
            params=list(ask.params) or None,
            headers=dict(headers),
            content=content,
            timeout=timeout,
        )

    def _opened(self) -> httpx2.Client:
        with self._lock:
            if self._client is None or self._process != os.getpid():
                # A forked child must not speak on its parent's connections.
                self._client = httpx2.Client(**options_for(self.url))
                self._process = os.getpid()
            return self._client


def options_for(url: str) -> dict[str, Any]:
    """How a client of this server is made, synchronous or not."""
    parts = urlsplit(url)
    limits = httpx2.Limits(
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX,
        keepalive_expiry=IDLE_SECONDS,
    )
    # No proxy stands before one's own machine, and certificates take long to load.
    here = {"trust_env": parts.hostname not in LOOPBACK, "verify": parts.scheme == "https"}
    return {"limits": limits, "follow_redirects": False, **here}


def timeout_of(tries: Tries) -> httpx2.Timeout:
    """What is left of the request's time, for each of its steps."""
    left = tries.seconds_left
    return httpx2.Timeout(left, connect=min(left, CONNECT_SECONDS_MAX))


def must_fit(size: int, url: str) -> None:
    """Refuse an answer that would fill the memory."""
    if size > ANSWER_BYTES_MAX:
        raise ServerUnreachable(url, f"its answer is larger than {ANSWER_BYTES_MAX} bytes")


def unreachable(error: httpx2.TransportError, tries: Tries, url: str) -> ServerUnreachable:
    """Our error for one of the library's."""
    if isinstance(error, httpx2.TimeoutException) and not isinstance(error, NOT_SENT):
        return tries.too_late()
    return ServerUnreachable(url, told(error))


def told(error: Exception) -> str:
    """What happened, in few words; the library's texts are sometimes empty."""
    if isinstance(error, httpx2.ReadTimeout):
        return "it said nothing for too long"
    return str(error) or type(error).__name__


def _lower(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _all(stream: Stream) -> bytes:
    body = b""
    for part in stream.chunks():
        body += part
        must_fit(len(body), "the server")
    return body
