"""The way in: a client of one server and one project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cellnode.node import WAIT_SECONDS, Node
from cellnode.origin import Origin, find_project, find_url, path_of

if TYPE_CHECKING:
    from cellnode.deploying import Variables
    from cellnode.events import Event
    from cellnode.models import (
        CheckpointRemoved,
        CheckpointView,
        CommandView,
        InstanceTypeView,
        NodeView,
        PinView,
        UsagePage,
    )
    from cellnode.pinning import Pin
    from cellnode.uploading import OnUpload
    from cellnode.watching import OnProgress

TIMEOUT_SECONDS = 30.0
COMMANDS = 100


def connect(
    url: str | None = None,
    *,
    project: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Client:
    """A client. Nothing is sent yet: a server that is away shows at the first request.

    Args:
        url: the server's origin; without it `$CELLNODE_URL`, else the system that `cellnode up`
            started here (in `$CELLNODE_DATA` or `~/.cellnode`), else http://127.0.0.1:8080.
        project: whose nodes and pins; without it `$CELLNODE_PROJECT`, else `default`.
        timeout_seconds: how long any one request may take, calls of nodes excepted.
    """
    return Client(url, project=project, timeout_seconds=timeout_seconds)


class Client:
    """One server and one project. May be shared by threads; closes with `with`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        project: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._origin = Origin(find_url(url), find_project(project), timeout_seconds)

    def __repr__(self) -> str:
        return f"<Client of {self.url}, project {self.project}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of threads; the next request would open new ones."""
        self._origin.close()

    async def close_async(self) -> None:
        """Close the connections that coroutines of the running loop opened."""
        await self._origin.close_async()

    @property
    def url(self) -> str:
        """The server's origin, like http://127.0.0.1:8080."""
        return self._origin.url

    @property
    def project(self) -> str:
        """Whose nodes and pins it sees."""
        return self._origin.project

    # -- nodes

    def node(self, name: str) -> Node:
        """The node of this name; asks nothing yet."""
        return Node(self._origin, name)

    def nodes(self, status: str | None = None) -> list[NodeView]:
        """All nodes of the project by name, or those in one status."""
        from cellnode.models import NodeView

        found = self._origin.pages(path_of("nodes"), "nodes", {"status": status})
        return [NodeView.from_json(each) for each in found]

    def deploy(
        self,
        name: str,
        checkpoint: Pin | str,
        *,
        cell: str,
        inputs: Variables = (),
        outputs: Variables = (),
        min: int = 1,
        want: int | None = None,
        instance_type: str | None = None,
        idempotent: bool | None = None,
        deadline_seconds: float | None = None,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
        on_upload: OnUpload | None = None,
        **spec: Any,
    ) -> Node:
        """Make a node, or change it into what is said here: `cellnode.deploy` with this client."""
        from cellnode.deploying import deploy

        return deploy(
            name,
            checkpoint,
            cell=cell,
            inputs=inputs,
            outputs=outputs,
            min=min,
            want=want,
            instance_type=instance_type,
            idempotent=idempotent,
            deadline_seconds=deadline_seconds,
            env=env,
            wait=wait,
            timeout_seconds=timeout_seconds,
            on_progress=on_progress,
            on_upload=on_upload,
            client=self,
            **spec,
        )

    def apply(
        self,
        name: str,
        spec: Mapping[str, Any],
        *,
        if_generation: int | None = None,
        wait: bool = True,
        timeout_seconds: float = WAIT_SECONDS,
        on_progress: OnProgress | None = None,
        on_upload: OnUpload | None = None,
    ) -> Node:
        """Make the node what this NodeSpec says; its `checkpoint` is a digest or a pin's name.

        What the server lacks of the checkpoint is uploaded, if this machine's store has it.

        Args:
            if_generation: only if this is the node's generation now (0: only if there is no such
                node); else Conflict.
            wait: until the node is HEALTHY at this generation.
            on_progress: called with the node's view whenever it changes.

        Raises:
            Invalid: a field of the spec is wrong; `field` names it.
            NotFound: neither the server nor this machine's store knows the checkpoint.
            Conflict: the node is being deleted, or has another generation.
            NodeUnhealthy: it cannot get healthy; the text says why, `document["evidence"]` more.
            WaitTimedOut: it is not healthy yet; `view` is what was last seen.
        """
        from cellnode.deploying import apply

        node = self.node(name)
        view = apply(self._origin, name, spec, if_generation=if_generation, on_upload=on_upload)
        if wait:
            node.wait_for(view, timeout_seconds=timeout_seconds, on_progress=on_progress)
        elif on_progress is not None:
            on_progress(view)
        return node

    def command(self, id: str) -> CommandView:
        """What became of a command."""
        from cellnode.models import CommandView

        return CommandView.from_json(self._origin.get(path_of("commands", id)))

    def commands(self, node: str | None = None, limit: int = COMMANDS) -> list[CommandView]:
        """The latest commands, newest first."""
        from cellnode.models import CommandPage

        found = self._origin.get(path_of("commands"), {"node": node, "limit": str(limit)})
        return list(CommandPage.from_json(found).commands)

    def events(
        self,
        node: str | Iterable[str] | None = None,
        kind: str | Iterable[str] | None = None,
        since: str | datetime | timedelta | None = None,
        follow: bool = True,
        *,
        last_event_id: str = "",
    ) -> Iterator[Event]:
        """What happens, as it happens; goes on where it was when the connection breaks.

        Args:
            node: these nodes only.
            kind: these kinds only, such as NodeStatusChanged.
            since: from this moment on, or from so long ago (`"-10m"`, a timedelta). Without it
                from now on; with `follow=False` all that the server remembers.
            follow: whether to go on for ever; without it the iterator ends when all is told.
            last_event_id: go on after the event of this id.
        """
        from cellnode.streaming import events

        return events(
            self._origin,
            node=node,
            kind=kind,
            since=since,
            follow=follow,
            last_event_id=last_event_id,
        )

    def instance_types(self) -> list[InstanceTypeView]:
        """What instances may use, and what an hour of each costs in units."""
        from cellnode.models import InstanceTypeList

        found = InstanceTypeList.from_json(self._origin.get(path_of("instance-types")))
        return list(found.instance_types)

    def usage(
        self,
        begin: str | date | None = None,
        end: str | date | None = None,
        node: str | None = None,
        by: str = "node",
    ) -> UsagePage:
        """What the project's instances have cost since the hour of `begin` (without it: since
        this month began), by `node`, `instance_type`, `hour` or `instance`."""
        from cellnode.usage import usage

        return usage(self._origin, begin=begin, end=end, node=node, by=by)

    # -- checkpoints and pins

    def upload(self, pin: Pin, *, on_upload: OnUpload | None = None) -> int:
        """Bring a pin's checkpoint and name to the server: what its store lacks, in bytes.

        on_upload is called with the bytes sent and the bytes to send in all.
        """
        from cellnode.store import Store
        from cellnode.uploading import Upload

        upload = Upload(self._origin, Store(pin.store), on_upload)
        moved = upload.checkpoint(pin.digest)
        upload.pin(pin.project, pin.name, pin.digest)
        return moved

    def pins(self) -> list[PinView]:
        """The project's pins by name."""
        from cellnode.models import PinView

        return [PinView.from_json(each) for each in self._origin.pages(path_of("pins"), "pins")]

    def remove_pin(self, name: str) -> None:
        """Forget a name; its checkpoint stays."""
        self._origin.send("DELETE", path_of("pins", name))

    def checkpoints(self) -> list[CheckpointView]:
        """All checkpoints of the server's store, the newest first."""
        from cellnode.models import CheckpointView

        found = self._origin.pages(path_of("checkpoints"), "checkpoints")
        return [CheckpointView.from_json(each) for each in found]

    def checkpoint(self, digest: str) -> dict[str, Any]:
        """A checkpoint's manifest: Python, packages, variables with their types."""
        found: dict[str, Any] = self._origin.get(path_of("checkpoints", digest))
        return found

    def remove_checkpoint(self, digest: str) -> CheckpointRemoved:
        """Remove a checkpoint that no node and no pin refers to; says what that freed."""
        from cellnode.models import CheckpointRemoved as Removed

        return Removed.from_json(self._origin.send("DELETE", path_of("checkpoints", digest)))

    # -- anything else

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str | Iterable[str] | None] | None = None,
    ) -> Any:
        """The JSON of any request to the api, like `request("GET", "/v1/nodes")`."""
        ask = self._origin
        is_get = method == "GET"
        return ask.get(path, params) if is_get else ask.send(method, path, body, params=params)
