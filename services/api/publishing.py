"""Commands onto the bus: who asks, under which id, on which condition."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid5

from schemas.commands import Command
from schemas.errors import BusUnavailable, DomainError
from schemas.events import CommandRejected
from services.api.event_log import Outcome
from services.api.measures import Measures
from services.api.operations import Call, Header
from services.api.outcomes import Outcomes
from services.api.problems import ApiProblem
from services.chassis.bus import Bus
from services.chassis.clock import Clock
from services.chassis.readiness import Condition
from services.chassis.telemetry import logger

IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, ACTOR = (
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Cellnode-Actor",
)
KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
ACTOR_PATTERN = r"^[\x20-\x7e]{0,256}$"
GENERATION_PATTERN = r'^"[1-9][0-9]{0,17}"$'
# Commands of keys are made in it; it never changes, or repeats would be taken for new ones.
KEYS = UUID("8f5cbdc4-6d0b-5f8c-9d5e-2f0d3c1a7b64")

log = logger("api.publishing")

HEADERS = (
    Header(
        IF_MATCH,
        "The node's generation as its ETag says it: refused if it is another one meanwhile.",
        GENERATION_PATTERN,
    ),
    Header(
        IDEMPOTENCY_KEY,
        "A word that names this request: sent again under it, it is carried out once.",
        KEY_PATTERN,
    ),
    Header(ACTOR, "Who asks, for the record.", ACTOR_PATTERN),
)
HEADERS_OF_APPLY = (
    *HEADERS,
    Header(IF_NONE_MATCH, "`*`: refused if there is such a node.", r"^\*$"),
)


class Publishing:
    """Makes commands of calls, and sends them."""

    def __init__(
        self,
        bus: Bus,
        outcomes: Outcomes,
        connected: Condition,
        measures: Measures,
        *,
        clock: Clock,
    ) -> None:
        self._bus = bus
        self._outcomes = outcomes
        self._connected = connected
        self._measures = measures
        self._clock = clock

    def asked(self, call: Call[Any, Any]) -> dict[str, Any]:
        """The fields that every command has."""
        key = _header(call, IDEMPOTENCY_KEY, KEY_PATTERN)
        return {
            "id": self._clock.uuid() if key is None else uuid5(KEYS, f"{call.project}\n{key}"),
            "project": call.project,
            "node": call.node,
            "actor": _header(call, ACTOR, ACTOR_PATTERN) or "",
            "at": self._clock.now(),
            "if_generation": _condition(call),
        }

    def known(self, command: Command) -> Outcome | None:
        """What became of it already; its id may not have meant something else."""
        outcome, pending = self._outcomes.find(command.id), self._outcomes.pending(command.id)
        digests = [outcome.digest] if outcome else []
        digests += [pending.digest()] if pending else []
        if any(digest != command.digest() for digest in digests):
            raise ApiProblem(
                "idempotency-key-reused",
                f"the key named command {command.id}, which asks for something else",
                field=IDEMPOTENCY_KEY,
                remedy="send each new request with a new key",
                command=command.id,
            )
        return outcome

    async def publish(self, command: Command) -> None:
        """Return once Kafka has it; 503 where that is not known."""
        if not self._connected.is_met:
            raise _unavailable(command, self._connected.sentence, is_sent=False)
        try:
            await self._bus.publish(command)
        except BusUnavailable as error:
            raise _unavailable(command, str(error), is_sent=True) from None
        except DomainError as error:  # More than a record may hold.
            raise ApiProblem("request-too-large", error.sentence, command=command.id) from None
        self._outcomes.published(command)
        kind = getattr(command, "kind", "")
        self._measures.commands.labels(kind).inc()
        log.info("command published", kind=kind, place=command.place, command=str(command.id))


def rejection(outcome: CommandRejected) -> ApiProblem:
    """A refused command as the answer to whom it was waited for."""
    return ApiProblem(
        CODES_OF_REASONS[outcome.reason.value],
        outcome.sentence,
        field=_field(outcome),
        remedy=outcome.remedy or None,
        command=outcome.command,
    )


CODES_OF_REASONS = {
    "INVALID": "invalid-field",
    "UNKNOWN_NODE": "node-unknown",
    "STALE_GENERATION": "precondition-failed",
    "COMMAND_ID_REUSED": "idempotency-key-reused",
    "DELETING": "name-busy",
    "NOT_BUILT": "not-built",
}
PROBLEMS_OF_COMMANDS = (
    *dict.fromkeys(CODES_OF_REASONS.values()),
    "bus-unavailable",
    "request-too-large",
)


def _field(outcome: CommandRejected) -> str | None:
    """In the words of HTTP, where the command's differ."""
    if outcome.reason.value == "STALE_GENERATION":
        return IF_MATCH
    if outcome.reason.value == "COMMAND_ID_REUSED":
        return IDEMPOTENCY_KEY
    return None if outcome.field is None else outcome.field.removeprefix("spec.")


def _condition(call: Call[Any, Any]) -> int | None:
    match = _header(call, IF_MATCH, GENERATION_PATTERN)
    none_match = _header(call, IF_NONE_MATCH, r"^\*$")
    if match is not None and none_match is not None:
        raise ApiProblem(
            "invalid-field",
            f"{IF_NONE_MATCH} and {IF_MATCH} exclude each other",
            field=IF_NONE_MATCH,
            remedy="send one of them",
        )
    if none_match is not None:
        return 0
    return None if match is None else int(match.strip('"'))


def _header(call: Call[Any, Any], name: str, pattern: str) -> str | None:
    given = call.request.headers.get(name)
    if given is None or re.fullmatch(pattern, given):
        return given
    raise ApiProblem(
        "invalid-field", f"{name}: {given!r} is not of the form {pattern}", field=name,
        remedy=f"use the documented form ({name})",
    )  # fmt: skip


def _unavailable(command: Command, why: str, *, is_sent: bool) -> ApiProblem:
    doubt = "the command may or may not be carried out" if is_sent else "the command was not sent"
    return ApiProblem(
        "bus-unavailable",
        f"{doubt}: {why}",
        remedy="send the request again; with the same Idempotency-Key that is safe",
        command=command.id,
    )
