"""Deploy: from a pin, a cell and its marked variables to a node that serves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cellnode.errors import CellnodeError, NotFound
from cellnode.models import NodeView
from cellnode.node import WAIT_SECONDS, Node
from cellnode.origin import Origin, path_of
from cellnode.store import Store

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.pinning import Pin
    from cellnode.uploading import OnUpload
    from cellnode.watching import OnProgress

# Names; or names with their JSON Schemas; or `{"name": ..., "schema": ...}` as in a NodeSpec.
Variables = str | Iterable[str | Mapping[str, Any]] | Mapping[str, Mapping[str, Any] | None]
OPTIONAL = ("instance_type", "idempotent", "deadline_seconds", "env")
LACKING = {"pin-unknown", "checkpoint-unknown"}


def deploy(
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
    client: Client | None = None,
    **spec: Any,
) -> Node:
    """Make a node, or change it into what is said here; the same again changes nothing.

    Args:
        name: small letters, digits and dashes.
        checkpoint: a pin (uploaded where needed), or a pin's name or a digest.
        cell: Python source that runs once a request, where the checkpoint's variables are.
        inputs: what a request sets: names (typed like the checkpoint's variables of these names),
            or a mapping of names to JSON Schemas.
        outputs: what answers it.
        min: so many healthy instances make the node HEALTHY; want: so many are kept (`min`).
        idempotent: running twice does no harm: calls that failed may be repeated.
        wait: until HEALTHY, for timeout_seconds; without it until the command is accepted.
        on_progress, on_upload: called with each new view, with bytes sent and bytes in all.
        spec: further fields of a NodeSpec, such as state="fresh" or environment="captured".

    Raises: ServerUnreachable, and what `Client.apply` raises.
    """
    found = client or client_of_here()
    named = (instance_type, idempotent, deadline_seconds, env and dict(env))
    wish = {**spec, **wish_of(cell, inputs, outputs), **dict(zip(OPTIONAL, named, strict=True))}
    wish["instances"] = {"min": min, "want": min if want is None else want}
    wish["checkpoint"] = reference_of(found, checkpoint, on_upload)
    return found.apply(
        name,
        without_none(wish),
        wait=wait,
        timeout_seconds=timeout_seconds,
        on_progress=on_progress,
        on_upload=on_upload,
    )


def client_of_here() -> Client:
    """The one that is used where none is named."""
    from cellnode.shared import shared_client

    return shared_client()


def wish_of(cell: str, inputs: Variables, outputs: Variables) -> dict[str, Any]:
    """The cell and its signature as a NodeSpec has them."""
    return {
        "cell": source_of(cell),
        "inputs": variables_of("inputs", inputs),
        "outputs": variables_of("outputs", outputs),
    }


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are said; the server has defaults for the others."""
    return {name: value for name, value in fields.items() if value is not None}


def reference_of(client: Client, checkpoint: Pin | str, on_upload: OnUpload | None) -> str:
    """The digest of a pin, which is brought to the server; a text stays what it is."""
    if isinstance(checkpoint, str):
        return checkpoint
    if not hasattr(checkpoint, "digest"):
        kind = type(checkpoint).__qualname__
        raise TypeError(f"checkpoint must be a Pin, a pin's name or a digest, not {kind}")
    client.upload(checkpoint, on_upload=on_upload)
    return checkpoint.digest


def source_of(cell: Any) -> str:
    """The cell's text, as far to the left as it goes."""
    if not isinstance(cell, str):
        raise TypeError(f"cell must be Python source as text, not {type(cell).__qualname__}")
    text = textwrap.dedent(cell).strip("\n")
    if not text.strip():
        raise CellnodeError("cell: it is empty; write what a request shall run")
    return text + "\n"


def variables_of(field: str, given: Variables) -> list[Any]:
    """Marked variables as a NodeSpec has them."""
    if isinstance(given, str):
        return given.replace(",", " ").split()
    if isinstance(given, Mapping):
        return [{"name": name, "schema": schema} for name, schema in given.items()]
    found = list(given)
    for each in found:
        if not isinstance(each, (str, Mapping)):
            kind = type(each).__qualname__
            raise TypeError(f"{field} must be names, or names with JSON Schemas, not {kind}")
    return found


def apply(
    origin: Origin,
    name: str,
    spec: Mapping[str, Any],
    *,
    if_generation: int | None = None,
    on_upload: OnUpload | None = None,
) -> NodeView:
    """Send the spec; what the server lacks of the checkpoint comes from this machine's store."""
    path, headers = path_of("nodes", name), precondition(if_generation)
    try:
        return NodeView.from_json(origin.accepted("PUT", path, dict(spec), headers=headers))
    except NotFound as error:
        if error.code not in LACKING or not bring(origin, spec.get("checkpoint"), on_upload):
            raise
    return NodeView.from_json(origin.accepted("PUT", path, dict(spec), headers=headers))


def precondition(generation: int | None) -> dict[str, str]:
    """The header for an expected generation; 0 means that there must be no such node."""
    if generation is None:
        return {}
    return {"If-Match": f'"{generation}"'} if generation else {"If-None-Match": "*"}


def bring(origin: Origin, reference: Any, on_upload: OnUpload | None) -> bool:
    """Upload a checkpoint of this machine's store by digest or pin; False if it has none."""
    from cellnode.uploading import Upload, local_pin

    store = Store()
    found = local_pin(store, origin.project, reference) if isinstance(reference, str) else None
    if found is None:
        return False
    digest, name = found
    upload = Upload(origin, store, on_upload)
    upload.checkpoint(digest)
    if name is not None:
        upload.pin(origin.project, name, digest)
    return True
