"""What can go wrong, as a tree of exceptions; each reads as one sentence and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellnode.models import NodeView

START_IT = "start it with `cellnode up`, or name another one: url= or $CELLNODE_URL"


class CellnodeError(Exception):
    """Anything that cellnode refuses or cannot do."""


class PinError(CellnodeError):
    """Nothing was pinned; the text says which variable is the cause and what to do."""


class StoreError(CellnodeError):
    """The store lacks what was asked for, or a name is not one."""


class MarkError(CellnodeError, ValueError):
    """A mark (`%%node ...`, `# %% [node] ...`) is wrong; the text names the word and the remedy."""


class ValueNotSent(CellnodeError, ValueError):
    """A value cannot be sent to a node as JSON; `path` says where it stands in the inputs."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class FileFailed(CellnodeError):
    """A cell of a script or notebook failed while the state was built from it."""

    def __init__(self, text: str, *, cell: int = 0, line: int = 0, traceback: str = "") -> None:
        super().__init__(text)
        self.cell = cell  # Counted from 1 in the file's order; 0 if no cell is to blame.
        self.line = line  # Of the script, or of the notebook's cell; from 1, 0 if not known.
        self.traceback = traceback


class ServerUnreachable(CellnodeError):
    """No answer came from the server: it is not there, or the connection broke."""

    def __init__(self, url: str, reason: str, remedy: str | None = None) -> None:
        self.url = url
        self.reason = reason
        self.remedy = remedy or START_IT
        super().__init__(f"{url} does not answer ({reason}); {self.remedy}")


class AnswerNotUnderstood(CellnodeError):
    """The server answers what this version does not expect; another version may be needed."""


class WaitTimedOut(CellnodeError):
    """What was waited for is not there yet. The command stays accepted: it may still come true."""

    def __init__(self, text: str, view: NodeView | None = None) -> None:
        super().__init__(text)
        self.view = view  # The node as it was last seen.


class ProblemError(CellnodeError):
    """An error answer (RFC 9457): what the server says is wrong, and what mends it."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = dict(document)  # All members, also those without an attribute here.
        self.code = _text(document, "code")
        self.title = _text(document, "title")
        self.detail = _text(document, "detail")
        self.field: str | None = document.get("field")
        self.remedy: str | None = document.get("remedy")
        self.request_id: str | None = document.get("request_id")
        self.trace_id: str | None = document.get("trace_id")
        self.command: str | None = document.get("command")
        super().__init__(self._told())

    def _told(self) -> str:
        what = self.detail or self.title or f"the server answered {self.status}"
        if self.field and self.field not in what:
            what = f"{self.field}: {what}"
        return f"{what.rstrip('.;')}; {self.remedy}" if self.remedy else what

    @classmethod
    def of(cls, status: int, document: Mapping[str, Any]) -> ProblemError:
        """The exception of the tree that fits an error answer."""
        kind = _BY_CODE.get(_text(document, "code")) or _BY_STATUS.get(status)
        if kind is None:
            kind = ServerFailed if status >= 500 else Invalid
        return kind(status, document)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.document)


def _text(document: Mapping[str, Any], member: str) -> str:
    value = document.get(member)
    return value if isinstance(value, str) else ""


class NotFound(ProblemError):
    """There is no such node, pin, checkpoint, blob or command (404, 410)."""


class Invalid(ProblemError):
    """The request is wrong (400, 406, 411, 413, 415, 422, ...); `field` names what."""


class Conflict(ProblemError):
    """It does not fit what is there now (409, 412)."""


class NodeUnhealthy(Conflict):
    """The command was accepted, but the node cannot get healthy without another change."""


class Unavailable(ProblemError):
    """The server, the bus, the store or the node cannot do it now (502, 503, 507)."""


class TimedOut(ProblemError):
    """A deadline passed on the way (504)."""


class CellFailed(ProblemError):
    """The node's cell raised an exception; `traceback` is the cell's own, where it is told."""

    @property
    def traceback(self) -> str | None:
        """The traceback inside the node; None where the node's `errors` is `brief`."""
        found = self.document.get("traceback")
        return found if isinstance(found, str) else None


class NotBuilt(ProblemError):
    """This version of the server knows the request but cannot do it (501)."""


class ServerFailed(ProblemError):
    """The server failed (500 and others); its log has more."""


_BY_CODE: dict[str, type[ProblemError]] = {
    "cell-error": CellFailed,
    "node-unhealthy": NodeUnhealthy,
}
_BY_STATUS: dict[int, type[ProblemError]] = {
    **dict.fromkeys((404, 410), NotFound),
    **dict.fromkeys((409, 412), Conflict),
    **dict.fromkeys((502, 503, 507), Unavailable),
    504: TimedOut,
    501: NotBuilt,
}
