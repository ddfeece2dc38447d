"""Pin a namespace: its variables become an immutable, content-addressed checkpoint."""

from __future__ import annotations

import datetime
import getpass
import os
import platform
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from cellnode.pin_check import check_loads
from cellnode.pin_gathering import Gathered, Skipped, Wanted, gather
from cellnode.pin_packages import packages_of
from cellnode.pin_pickling import Namespace, pickled_together, together
from cellnode.pin_schemas import example_of, schema_of
from cellnode.store import Store, canonical_json

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.uploading import OnUpload

FORMAT_VERSION = 1
SCHEMA_BYTES_MAX = 16 * 1024


class NotPinned(UserWarning):
    """A variable was left out because it cannot be pickled."""


class NotUploaded(UserWarning):
    """The pin is in the local store only: a server answers, but did not take it."""


@dataclass(frozen=True)
class Pin:
    """A name for a checkpoint."""

    name: str
    project: str
    digest: str
    manifest: Mapping[str, Any]
    skipped: tuple[Skipped, ...]
    written_bytes: int  # What the store did not have yet.
    store: Path
    uploaded: bool = False  # Whether a server has it, under this name.

    def __repr__(self) -> str:
        variables = ", ".join(each["name"] for each in self.manifest["variables"])
        return f"<Pin {self.name} {self.digest[:12]}: {variables or 'no variables'}>"


def pin(
    name: str,
    variables: Iterable[str] | None = None,
    *,
    also: Iterable[str] = (),
    examples: Iterable[str] = (),
    namespace: Namespace | None = None,
    store: str | os.PathLike[str] | None = None,
    project: str | None = None,
    check: bool = True,
    upload: bool | None = None,
    on_upload: OnUpload | None = None,
    client: Client | None = None,
) -> Pin:
    """Pin the caller's variables under a name and say what the checkpoint is.

    Args:
        name: small letters, digits and dashes.
        variables: which ones; by default all that can be pinned. Named functions bring the
            variables that they use.
        also: more of them, left out (with a warning) where they cannot be pinned.
        examples: whose values, if short, stand readable in the manifest, and in a node's API.
        namespace: where the variables are; by default the caller's globals.
        store: a directory; by default `$CELLNODE_STORE`, `$CELLNODE_DATA/store` or
            `~/.cellnode/store`.
        project: whose name it is; by default `$CELLNODE_PROJECT` or `default`.
        check: load the checkpoint once in a fresh process before its name is published.
        upload: bring it to the server as well. By default where a server answers, and neither
            `store` nor `project` names another place; `True` fails where it cannot be brought.
        on_upload: called with the bytes sent and the bytes to send in all.
        client: which server; by default `cellnode.connect()`'s.

    Raises:
        PinError: a named variable cannot be pinned, or a fresh process cannot load it.
        StoreError: the name is none, or the store cannot be written.
        CellnodeError: with `upload=True`, why the server did not take it.
    """
    if namespace is None:
        namespace = sys._getframe(1).f_globals
    if project is None:
        project = client.project if client else os.environ.get("CELLNODE_PROJECT") or "default"
    wanted = Wanted(namespace, variables, tuple(also), check, frozenset(examples))
    made = _pinned(Store(store), (project, name), wanted)
    for skipped in made.skipped:
        warnings.warn(f"{skipped.path}: {skipped.reason}", NotPinned, stacklevel=2)
    if upload is False or (upload is None and store is not None and client is None):
        return made
    from cellnode.pin_upload import uploaded

    return replace(made, uploaded=uploaded(made, client, on_upload, is_must=bool(upload)))


def _pinned(where: Store, named: tuple[str, str], wanted: Wanted) -> Pin:
    """Into the local store."""
    where.pin_path(*named)  # A wrong name is refused before the work, not after it.
    gathered = gather(wanted)
    digest, manifest, written = _write(where, gathered)
    if wanted.check:
        check_loads(where.directory, digest)
    where.put_pin(*named, _record(where.pin(*named), digest, wanted.namespace))
    project, name = named
    skipped = tuple(gathered.skipped)
    return Pin(name, project, digest, manifest, skipped, written, where.directory)


def _write(store: Store, gathered: Gathered) -> tuple[str, dict[str, Any], int]:
    """Groups into blobs, their list into the manifest."""
    groups: list[dict[str, Any]] = []
    variables: list[dict[str, Any]] = []
    modules = set(gathered.modules.values())
    written = 0
    for names in together(list(gathered.pickles.values())):
        alone = [gathered.pickles[name] for name in names]
        group = pickled_together(gathered.namespace, alone, gathered.local)
        parts: list[bytes | memoryview] = [group.data, *group.buffers]
        references = [store.put_blob(part) for part in parts]
        written += sum(reference["bytes"] for reference, is_new in references if is_new)
        blob, *buffers = (reference for reference, _ in references)
        variables += [_variable(gathered, name, len(groups)) for name in names]
        groups.append({"blob": blob, "buffers": buffers})
        modules |= group.modules
    manifest = {
        **_environment(modules),
        "modules": [{"name": n, "module": m} for n, m in sorted(gathered.modules.items())],
        "groups": groups,
        "variables": sorted(variables, key=lambda each: str(each["name"])),
    }
    return store.put_checkpoint(manifest), manifest, written


def _variable(gathered: Gathered, name: str, group: int) -> dict[str, Any]:
    value = gathered.namespace[name]
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    schema = schema_of(value)
    if len(canonical_json(schema)) > SCHEMA_BYTES_MAX:
        schema = {"type": schema["type"]}
    return {
        "name": name,
        "type": kind,
        "schema": schema,
        "bytes": gathered.pickles[name].bytes,
        "group": group,
        **(example_of(value, gathered.pickles[name].bytes) if name in gathered.shown else {}),
    }


def _environment(modules: set[str]) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "python": {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "executable": sys.executable,
        },
        "platform": {"system": platform.system(), "machine": platform.machine()},
        "cloudpickle": cloudpickle.__version__,
        "packages": packages_of(modules),
    }


def _record(
    before: dict[str, Any] | None, digest: str, namespace: Namespace
) -> dict[str, str | None]:
    return {
        "digest": digest,
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "by": _user(),
        "parent": before["digest"] if before else None,
        "notebook": _notebook(namespace),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # A container's user often has no name.


def _notebook(namespace: Namespace) -> str | None:
    for found in (
        namespace.get("__vsc_ipynb_file__"),
        os.environ.get("JPY_SESSION_NAME"),
        namespace.get("__file__"),
    ):
        if isinstance(found, str):
            return found
    return None
