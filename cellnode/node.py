"""A deployed node: called, looked at and changed by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cellnode.errors import CellnodeError
from cellnode.origin import Origin, pairs, path_of

if TYPE_CHECKING:
    from cellnode.calling import Caller
    from cellnode.events import Event
    from cellnode.models import LogLine, NodeView
    from cellnode.watching import IsThere, OnProgress

WAIT_SECONDS = 120.0
LOG_LINES = 200
STATUSES = ("CREATED", "HEALTHY", "UNHEALTHY", "SUSPENDED", "DELETING")


class Node:
    """A node of a project. Making one asks nothing: whether it exists shows when it is used."""

    def __init__(self, origin: Origin, name: str) -> None:
        self._origin = origin
        self.name = name
        self.project = origin.project

    def __repr__(self) -> str:
        return f"<Node {self.project}/{self.name} at {self._origin.url}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows of it."""
        from cellnode.notebook.display import bundle_of

        return bundle_of(self)

    @property
    def url(self) -> str:
        """Where it is called: POST `{"input": {...}}`."""
        return self._origin.url + path_of("nodes", self.name, verb=":execute")

    # -- calling

    @cached_property
    def _caller(self) -> Caller:
        from cellnode.calling import Caller

        return Caller(self._origin, self.name)

    def call(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout_seconds: float | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Run the cell once and return its output variables by name.

        Args:
            inputs: values of the input variables by name, beside or instead of keyword arguments.
                JSON's own types, tuples, arrays and scalars of numpy and torch, Series and
                DataFrames of pandas (a list of rows), dates, times, and bytes where the node
                takes base64.
            timeout_seconds: lowers the node's own deadline for this call.
            idempotency_key: says that running the cell twice does no harm, so that the call may
                be sent again after a failure.

        Raises:
            CellFailed: the cell raised; `traceback` tells where.
            Invalid: an input is missing, unknown or of the wrong type; `field` names it.
            ValueNotSent: a value has no JSON form (NaN, a set); `path` names it.
            NotFound, Unavailable, TimedOut, ServerUnreachable: it could not be run.
        """
        values = {**(inputs or {}), **more}
        return self._caller.call(values, timeout_seconds, idempotency_key)

    async def call_async(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout_seconds: float | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """`call` for coroutines; many may be under way at once."""
        values = {**(inputs or {}), **more}
        return await self._caller.call_async(values, timeout_seconds, idempotency_key)

    # -- looking

    def view(self) -> NodeView:
        """What is wanted of it and what is observed now, its cost included."""
        from cellnode.models import NodeView

        return NodeView.from_json(self._origin.get(path_of("nodes", self.name)))

    @property
    def status(self) -> str:
        """CREATED, HEALTHY, UNHEALTHY, SUSPENDED or DELETING, as it is now."""
        seen = self.view().status
        return seen.status if seen else "CREATED"

    def why(self) -> str:
        """Why its status is what it is: reason, sentence, and each instance in trouble."""
        from cellnode.telling import why

        return why(self.view())

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this node's own API."""
        found: dict[str, Any] = self._origin.get(path_of("nodes", self.name, "openapi.json"))
        return found

    def logs(
        self, tail: int = LOG_LINES, follow: bool = False, instance: str | None = None
    ) -> Iterator[LogLine]:
        """Lines that its instances wrote: the last `tail` of each, then new ones if `follow`."""
        from cellnode.streaming import log_lines

        params = {
            "tail": str(tail),
            "follow": "true" if follow else "false",
            "instance": instance,
        }
        return log_lines(self._origin, path_of("nodes", self.name, "logs"), pairs(params))

    def events(
        self, since: str | datetime | timedelta | None = None, follow: bool = False
    ) -> Iterator[Event]:
        """What happened to it, oldest first; with `follow` also what happens from now on."""
        from cellnode.streaming import events

        return events(self._origin, node=self.name, since=since, follow=follow)

    # -- changing

    def wait(
        self,
        status: str = "HEALTHY",
        *,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> NodeView:
        """Until its status is this; WaitTimedOut, or NodeUnhealthy if it cannot become HEALTHY."""
        if status not in STATUSES:
            raise CellnodeError(f"{status!r} is no status of a node; {', '.join(STATUSES)} are")
        from cellnode.watching import healthy, in_status

        is_there = healthy(0) if status == "HEALTHY" else in_status(status)
        return self.until(is_there, timeout_seconds, on_progress)

    def wait_for(
        self,
        view: NodeView,
        *,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> NodeView:
        """Until it is HEALTHY at the generation of this view, or a later one."""
        from cellnode.watching import healthy

        return self.until(healthy(view.generation), timeout_seconds, on_progress)

    def scale(
        self,
        want: int,
        min: int | None = None,
        *,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> NodeView:
        """Keep `want` instances. Waits until so many are healthy.

        `min` healthy ones make the node HEALTHY; without it the minimum stays, at most `want`.
        """
        from cellnode.watching import healthy

        body = {"want": want, **({"min": min} if min is not None else {})}
        view = self._changed("scale", body)
        is_there = healthy(view.generation, view.spec.instances.want)
        return self.until(is_there, timeout_seconds, on_progress) if wait else view

    def suspend(
        self,
        *,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> NodeView:
        """Stop all instances and keep the spec; a suspended node costs nothing."""
        from cellnode.watching import in_status

        view = self._changed("suspend")
        is_there = in_status("SUSPENDED", view.generation)
        return self.until(is_there, timeout_seconds, on_progress) if wait else view

    def resume(
        self,
        *,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> NodeView:
        """Bring a suspended node back, as it was pinned. Waits until it is HEALTHY."""
        from cellnode.watching import healthy

        view = self._changed("resume")
        is_there = healthy(view.generation)
        return self.until(is_there, timeout_seconds, on_progress) if wait else view

    def recreate(
        self,
        *,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> NodeView:
        """Replace all instances by new ones with the pinned state; the old ones serve meanwhile."""
        from cellnode.watching import healthy

        view = self._changed("recreate")
        is_there = healthy(view.generation)
        return self.until(is_there, timeout_seconds, on_progress) if wait else view

    def delete(
        self,
        *,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Remove it, with its instances. Waits until nothing of it is left."""
        from cellnode.watching import until_gone

        view = self.view()
        self._origin.accepted("DELETE", path_of("nodes", self.name))
        if wait:
            until_gone(self._origin, view, timeout_seconds, on_progress)

    def _changed(self, verb: str, body: Mapping[str, Any] | None = None) -> NodeView:
        from cellnode.models import NodeView

        path = path_of("nodes", self.name, verb=f":{verb}")
        return NodeView.from_json(self._origin.accepted("POST", path, body))

    def until(
        self, is_there: IsThere, timeout_seconds: float, on_progress: OnProgress | None
    ) -> NodeView:
        """Until the condition holds for a view of it; WaitTimedOut with the last view."""
        from cellnode.watching import Watch

        view = Watch(self._origin, self.name, timeout_seconds).until(is_there, on_progress)
        if view.status is not None and view.status.status == "HEALTHY":
            self._caller.expect_soon()
        return view
