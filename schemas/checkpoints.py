"""The manifest of a checkpoint, and what an environment lacks to load it. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from schemas.errors import CheckpointFault
from schemas.ids import Digest, VariableName, digest_of
from schemas.statuses import Reason

MANIFEST_BYTES_MAX = 64 * 1024 * 1024


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


class _Part(BaseModel):
    # A later format may add fields; they take part in the digest and must survive.
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Blob(_Part):
    """A content-addressed piece of the store."""

    sha256: Digest
    bytes: int = Field(ge=0)


class Group(_Part):
    """Variables that share objects, pickled as one graph, and their buffers out of band."""

    blob: Blob
    buffers: tuple[Blob, ...] = ()


class PinnedVariable(_Part):
    """One variable: its type's name, its JSON Schema, its size and the group it lies in."""

    name: VariableName
    type: str
    json_schema: dict[str, Any] = Field(default_factory=dict, alias="schema")
    bytes: int = Field(ge=0)
    group: int = Field(ge=0)
    example: str = ""  # The pinned value as JSON text, where that is short.

    @field_validator("example")
    @classmethod
    def _is_json(cls, value: str) -> str:
        if value:
            json.loads(value, parse_constant=_refused)
        return value


class PinnedModule(_Part):
    """A module bound in the namespace: imported again at load, never pickled."""

    name: VariableName
    module: str


class Python(_Part):
    """The interpreter that made the pin."""

    implementation: str
    version: str  # Like 3.11.7.
    executable: str

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


class Platform(_Part):
    """The machine that made the pin."""

    system: str
    machine: str


class Manifest(_Part):
    """What a checkpoint is made of. Its digest is its name."""

    format: Literal[1]
    python: Python
    platform: Platform
    cloudpickle: str
    packages: dict[str, str] = Field(default_factory=dict)
    modules: tuple[PinnedModule, ...] = ()
    groups: tuple[Group, ...] = ()
    variables: tuple[PinnedVariable, ...] = ()

    def blobs(self) -> list[Blob]:
        """Every blob once, in the manifest's order."""
        all_blobs = [blob for group in self.groups for blob in (group.blob, *group.buffers)]
        return list({blob.sha256: blob for blob in all_blobs}.values())


class Inventory(_Part):
    """What a Python environment has: `runtime/interpreter/inventory.py` prints it."""

    python: Python
    platform: Platform
    packages: dict[str, str]


def parse_manifest(raw: bytes, digest: str) -> Manifest:
    """The manifest, or CheckpointFault: its digest must be that of its canonical JSON.

    Whose very bytes have the digest is not written again to see it: a large one takes seconds.
    """
    if len(raw) > MANIFEST_BYTES_MAX:
        most = f"{MANIFEST_BYTES_MAX} bytes are read"
        raise CheckpointFault(f"the manifest of checkpoint {digest} is too large: at most {most}")
    try:
        manifest = Manifest.model_validate_json(raw)
        found = hashlib.sha256(raw).hexdigest()
        if found != digest:
            found = digest_of(manifest.model_dump(mode="json", by_alias=True, exclude_unset=True))
    except (ValidationError, ValueError) as error:
        raise CheckpointFault(f"the manifest of checkpoint {digest} is damaged: {error}") from None
    if found != digest:
        raise CheckpointFault(f"the manifest of checkpoint {digest} has the digest {found}")
    return manifest


def mismatches(manifest: Manifest, inventory: Inventory) -> list[tuple[Reason, str]]:
    """Every exact difference that keeps this environment from loading the checkpoint."""
    return [*_interpreter(manifest, inventory), *_packages(manifest.packages, inventory.packages)]


def _interpreter(manifest: Manifest, inventory: Inventory) -> list[tuple[Reason, str]]:
    pinned, found = manifest.python, inventory.python
    differences = []
    if (pinned.implementation, pinned.minor) != (found.implementation, found.minor):
        differences.append(
            f"pinned by {pinned.implementation} {pinned.version}, "
            f"the node has {found.implementation} {found.version}"
        )
    if _machine(manifest.platform) != _machine(inventory.platform):
        differences.append(
            f"pinned on {manifest.platform.system} {manifest.platform.machine}, "
            f"the node is {inventory.platform.system} {inventory.platform.machine}"
        )
    return [(Reason.PYTHON_MISMATCH, difference) for difference in differences]


def _machine(platform: Platform) -> tuple[str, str]:
    return (platform.system, platform.machine)


def _packages(wanted: Mapping[str, str], installed: Mapping[str, str]) -> list[tuple[Reason, str]]:
    """What is missing, then what differs, each by name."""
    pinned = sorted(wanted.items())
    missing = [
        (Reason.PACKAGE_MISSING, f"{name} {version} is not installed")
        for name, version in pinned
        if name not in installed
    ]
    different = [
        (Reason.PACKAGE_MISMATCH, f"{name} {version} was pinned, {installed[name]} is installed")
        for name, version in pinned
        if installed.get(name, version) != version
    ]
    return missing + different
