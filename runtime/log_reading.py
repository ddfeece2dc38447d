"""Reading the log over HTTP: its last lines, what came after a position, or what comes next."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qs

from runtime.exchange import Exchange
from runtime.logs import Log
from schemas.http import LOG_LOST_HEADER, LOG_POSITION_HEADER

ANSWER_BYTES_MAX = 512 * 1024
LINES_MAX = 10_000
LINES = 200
WAIT_MS_MAX = 30_000
GATHER_SECONDS = 0.05  # A cell that prints line after line wakes its readers only so often.
READERS_MAX = 32  # Who waits here at once; more are told to come again.
_DIGITS_MAX = 18


class Position(NamedTuple):
    """How often the log had been rotated, and a place in the file of that time."""

    rotations: int
    offset: int

    def __str__(self) -> str:
        return f"{self.rotations}.{self.offset}"


@dataclass(frozen=True)
class Wish:
    """What a reader asks for: everything after a position, or the last lines."""

    after: Position | None
    tail: int
    wait_seconds: float


class Piece(NamedTuple):
    """A piece of the log and where the next one starts; `is_lost`: not where it was asked for."""

    text: bytes
    next: Position
    is_lost: bool = False


class LogReaders:
    """Answers those who read the log; some of them wait for its next line."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: set[Exchange] = set()

    def handle(self, exchange: Exchange) -> None:
        try:
            wish = wish_of(exchange.url.partition(b"?")[2])
        except ValueError as error:
            exchange.refuse("bad-request", str(error))
            return
        if wish.after is None:
            _answer(exchange, last_lines(self._log, wish.tail))
            return
        piece = lines_after(self._log, wish.after)
        if piece.text or piece.is_lost or not wish.wait_seconds:
            _answer(exchange, piece if piece.text else rest_after(self._log, wish.after))
        else:
            self._answer_later(exchange, wish.after, wish.wait_seconds)

    def _answer_later(self, exchange: Exchange, after: Position, seconds: float) -> None:
        """A moment after the next line, or when the time is over."""
        self._waiting = {each for each in self._waiting if not each.is_cancelled}
        if len(self._waiting) >= READERS_MAX:
            exchange.refuse("busy", f"{READERS_MAX} readers wait for the log already")
            return
        self._waiting.add(exchange)
        loop, gathering = exchange.connection.loop, list[asyncio.TimerHandle]()

        def heard() -> None:
            if not gathering:
                gathering.append(loop.call_later(GATHER_SECONDS, answer))

        def answer() -> None:
            for each in (timer, *gathering):
                each.cancel()
            self._log.listeners.discard(heard)
            self._waiting.discard(exchange)
            if not exchange.is_cancelled:
                piece = lines_after(self._log, after)
                _answer(exchange, piece if piece.text else rest_after(self._log, after))

        timer = loop.call_later(seconds, answer)
        self._log.listeners.add(heard)


def wish_of(query: bytes) -> Wish:
    """Or ValueError, which names the parameter."""
    given = {name: texts[-1] for name, texts in parse_qs(query.decode("latin-1")).items()}
    tail = min(_whole("tail", given.get("tail", str(LINES))), LINES_MAX)
    wait_ms = min(_whole("wait_ms", given.get("wait_ms", "0")), WAIT_MS_MAX)
    after = given.get("after")
    return Wish(None if after is None else _position(after), tail, wait_ms / 1000)


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise ValueError(f"{name} must be a whole number")
    return int(text)


def _position(text: str) -> Position:
    rotations, dot, offset = text.partition(".")
    if not dot:
        raise ValueError(f"after must be what {LOG_POSITION_HEADER} said")
    return Position(_whole("after", rotations), _whole("after", offset))


def last_lines(log: Log, count: int) -> Piece:
    """At most so many, the one that is still being written included."""
    end = Position(log.rotations, os.fstat(log.fd).st_size)
    text = _end_of(log.fd)
    if log.full is not None and text.count(b"\n") < count and len(text) == end.offset:
        text = (_end_of(log.full) + text)[-ANSWER_BYTES_MAX:]
    return Piece(b"".join(_lines(text)[-count:]) if count else b"", end)


def lines_after(log: Log, after: Position) -> Piece:
    """Whole lines, as many as an answer takes; what is still being written is left for later."""
    piece = rest_after(log, after)
    whole = piece.text.rfind(b"\n") + 1
    is_endless = not whole and len(piece.text) >= ANSWER_BYTES_MAX
    if is_endless or whole == len(piece.text) or piece.next.rotations != log.rotations:
        return piece
    begin = piece.next.offset - len(piece.text)
    return Piece(piece.text[:whole], Position(piece.next.rotations, begin + whole), piece.is_lost)


def rest_after(log: Log, after: Position) -> Piece:
    """What follows a position, up to the end of its file; then the next file is read."""
    fd = _file_of(log, after.rotations)
    if fd is None or after.offset > os.fstat(fd).st_size:
        return _first(log)
    text = os.pread(fd, ANSWER_BYTES_MAX, after.offset)
    if not text and fd is not log.fd:
        return rest_after(log, Position(log.rotations, 0))
    return Piece(text, Position(after.rotations, after.offset + len(text)))


def _file_of(log: Log, rotations: int) -> int | None:
    if rotations == log.rotations:
        return log.fd
    return log.full if rotations == log.rotations - 1 else None


def _first(log: Log) -> Piece:
    """The oldest that is still here: what was asked for is not."""
    begin = Position(log.rotations - (log.full is not None), 0)
    text, after, _ = rest_after(log, begin)
    return Piece(text, after, is_lost=True)


def _end_of(fd: int) -> bytes:
    return os.pread(fd, ANSWER_BYTES_MAX, max(0, os.fstat(fd).st_size - ANSWER_BYTES_MAX))


def _lines(text: bytes) -> list[bytes]:
    """By newline alone: a carriage return is part of its line."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _answer(exchange: Exchange, piece: Piece) -> None:
    lost = f"{LOG_LOST_HEADER}: true\r\n" if piece.is_lost else ""
    head = f"Content-Type: text/plain; charset=utf-8\r\n{LOG_POSITION_HEADER}: {piece.next}\r\n"
    exchange.respond(200, piece.text, f"{head}{lost}".encode())
