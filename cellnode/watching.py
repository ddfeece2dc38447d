"""Follow one node's events until something is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from cellnode.errors import NodeUnhealthy, NotFound, ServerUnreachable, Unavailable, WaitTimedOut
from cellnode.events import PAUSE_SECONDS, Event, EventParser
from cellnode.http_asking import Ask, Silent
from cellnode.models import InstanceView, NodeStatusView, NodeView
from cellnode.origin import Origin, path_of
from cellnode.telling import summary

# A silent stream is opened anew after so long, and the node is looked at; doubled each time.
SILENT_SECONDS, SILENT_SECONDS_MAX = 0.5, 5.0
AWAY_SECONDS_MAX = 30.0
SETTLED_SECONDS_MAX, SETTLED_PAUSE_SECONDS = 1.0, 0.02
# What no retry mends: the checkpoint, its packages or the cell must change first.
LASTING = {
    "CHECKPOINT_MISSING", "CHECKPOINT_DAMAGED", "PYTHON_MISMATCH", "PACKAGE_MISSING",
    "PACKAGE_MISMATCH", "INSTANCE_TYPE_UNKNOWN", "LOAD_FAILED",
}  # fmt: skip

IsThere = Callable[[NodeView], bool]
OnProgress = Callable[[NodeView], None]


class Watch:
    """A node's view, kept up to date by its events, until a deadline."""

    def __init__(self, origin: Origin, node: str, timeout_seconds: float) -> None:
        self._origin = origin
        self._node = node
        self._timeout_seconds = timeout_seconds
        self._ends_at = time.monotonic() + timeout_seconds
        self._parser = EventParser()
        self._view: NodeView | None = None
        self._is_of_event = False  # Told by an event, not by the server's own view.

    def until(self, is_there: IsThere, on_progress: OnProgress | None = None) -> NodeView:
        """The view that satisfies the condition; on_progress gets every view that differs.

        Raises WaitTimedOut with the last view, NotFound when the node is gone, or what the
        condition raises.
        """
        shown: NodeView | None = None
        for view in self._views():
            if on_progress is not None and view != shown:
                on_progress(view)
                shown = view
            try:
                if is_there(view):
                    return self._settled(view, is_there)
            except NodeUnhealthy:
                self._settled(view, _refused_by(is_there))
                raise
        raise self._too_late()

    def _settled(self, view: NodeView, is_there: IsThere) -> NodeView:
        """Events come a moment before the server's own view: who looks next shall see it, too."""
        if not self._is_of_event:
            return view
        ends_at = min(self._ends_at, time.monotonic() + SETTLED_SECONDS_MAX)
        try:
            while time.monotonic() < ends_at:
                if is_there(seen := self._looked_at()):
                    return seen
                time.sleep(SETTLED_PAUSE_SECONDS)
        except (ServerUnreachable, Unavailable):
            pass  # What was waited for has happened all the same.
        return view

    def _views(self) -> Iterator[NodeView]:
        """A view at first, and one after everything that happens; ends with the time."""
        silent, away_since = SILENT_SECONDS, None
        while self._seconds_left > 0:
            try:
                for view in self._streamed(min(silent, self._seconds_left)):
                    away_since = None
                    yield view
            except Silent:
                silent = min(silent * 2, SILENT_SECONDS_MAX)
            except (ServerUnreachable, Unavailable):
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > AWAY_SECONDS_MAX:
                    raise
                time.sleep(min(PAUSE_SECONDS, max(self._seconds_left, 0)))

    def _streamed(self, silent_seconds: float) -> Iterator[NodeView]:
        """The node as it is once the stream stands, then what its events make of it."""
        self._parser = EventParser(self._parser.last_id)
        path, last_id = path_of("events"), self._parser.last_id
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        ask = Ask("GET", path, (("node", self._node),), headers)
        with self._origin.http.stream(ask, silent_seconds) as stream:
            yield (view := self._looked_at())
            for chunk in stream.chunks():
                for event in self._parser.feed(chunk):
                    view = self._after(view, event)
                yield view
                if self._seconds_left <= 0:
                    return

    def _looked_at(self) -> NodeView:
        self._view = NodeView.from_json(self._origin.get(path_of("nodes", self._node)))
        self._is_of_event = False
        return self._view

    def _after(self, view: NodeView, event: Event) -> NodeView:
        if event.kind in ("NodeGone", "reset"):
            return self._looked_at()
        self._view = folded(view, event)
        self._is_of_event = True
        return self._view

    @property
    def _seconds_left(self) -> float:
        return self._ends_at - time.monotonic()

    def _too_late(self) -> WaitTimedOut:
        told = summary(self._view) if self._view else f"the node {self._node} was not seen"
        return WaitTimedOut(
            f"not there after {self._timeout_seconds:g} s: {told} "
            "The command stays accepted; wait longer with timeout_seconds=.",
            self._view,
        )


def _refused_by(is_there: IsThere) -> IsThere:
    """True of the views in which the condition sees that it can never come true."""

    def is_refused(view: NodeView) -> bool:
        try:
            is_there(view)
        except NodeUnhealthy:
            return True
        return False

    return is_refused


def folded(view: NodeView, event: Event) -> NodeView:
    """The view after an event; those of another node of the same name change nothing."""
    if event.data.get("uid", view.uid) != view.uid:
        return view
    if event.kind == "NodeStatusChanged":
        status = NodeStatusView.from_json(event.data)
        return replace(view, status=status)
    others = tuple(each for each in view.instances if each.instance != event.instance)
    if event.kind == "InstanceGone":
        return replace(view, instances=others)
    if event.kind == "InstanceStatusChanged":
        together = (*others, InstanceView.from_json(event.data))
        return replace(view, instances=tuple(sorted(together, key=_number)))
    return view


def _number(instance: InstanceView) -> tuple[str, int]:
    name, _, number = instance.instance.rpartition("-")
    return name, int(number) if number.isdecimal() else 0


def healthy(generation: int, count: int | None = None) -> IsThere:
    """HEALTHY at this generation or a later one, with so many (None: the minimum) of the revision
    and none of an older one that would still answer.

    Raises NodeUnhealthy as soon as an instance is in trouble that no retry can mend, or where the
    node stays suspended.
    """

    def is_there(view: NodeView) -> bool:
        status = view.status
        if status is None or status.generation < generation:
            return False
        enough = status.min if count is None else count
        is_of_one_revision = status.healthy == status.healthy_of_revision
        if status.status == "HEALTHY" and is_of_one_revision and status.healthy >= enough:
            return True
        # The node's own status follows that of its instances at once, and says more.
        if view.generation >= generation and status.status != "CREATED":
            _raise_if_stopped(view, status)
            raise_if_lasting(view)
        return False

    return is_there


def _raise_if_stopped(view: NodeView, status: NodeStatusView) -> None:
    if status.reason == "SUSPENDED_BY_OWNER" and status.generation >= view.generation:
        title = "The node is suspended"
        told = {"detail": summary(view), "remedy": "resume the node", "reason": status.reason}
        raise NodeUnhealthy(409, {"code": "node-unhealthy", "title": title, **told})


def raise_if_lasting(view: NodeView) -> None:
    """NodeUnhealthy with the instance's sentence and evidence, if it cannot get healthy as is."""
    for instance in view.instances:
        is_of_this = instance.revision == view.revision
        if is_of_this and instance.status == "UNHEALTHY" and instance.reason in LASTING:
            raise NodeUnhealthy(
                409,
                {
                    "code": "node-unhealthy",
                    "title": "The node cannot get healthy",
                    "detail": summary(view),
                    "instance": instance.instance,
                    "reason": instance.reason,
                    "evidence": dict(instance.evidence),
                },
            )


def in_status(status: str, generation: int = 0) -> IsThere:
    """The node's status is this, at this generation or a later one."""

    def is_there(view: NodeView) -> bool:
        seen = view.status
        return seen is not None and seen.generation >= generation and seen.status == status

    return is_there


def until_gone(
    origin: Origin, view: NodeView, timeout_seconds: float, show: OnProgress | None
) -> None:
    """Until there is no such node, or another one of its name."""

    def is_another(seen: NodeView) -> bool:
        return seen.uid != view.uid

    try:
        Watch(origin, view.node, timeout_seconds).until(is_another, show)
    except NotFound:
        return
