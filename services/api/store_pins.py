"""Pins in the store: one small file each, as the notebook's own `pin()` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from schemas.ids import NodeName, ProjectName
from schemas.views import PinBody, PinView
from services.api.store_files import READ_WRITE, files, remove, write_whole
from services.chassis.telemetry import logger

SUFFIX = ".json"
PIN_BYTES_MAX = 64 * 1024
_NAME: TypeAdapter[str] = TypeAdapter(NodeName)
_PROJECT: TypeAdapter[str] = TypeAdapter(ProjectName)

log = logger("api.store")


class Pins:
    """`<store>/pins/<project>/<name>.json`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, project: str, name: str) -> Path:
        return self.directory / project / f"{name}{SUFFIX}"

    def get(self, project: str, name: str) -> PinView | None:
        """None if nobody made one of this name, or its file is damaged."""
        path = self.path(project, name)
        try:
            with path.open("rb") as file:
                record = json.loads(file.read(PIN_BYTES_MAX))
            return PinView.model_validate({**record, "project": project, "name": name})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            log.warning("a pin is damaged; put it again", path=str(path), error=str(error))
            return None

    def put(self, project: str, name: str, body: PinBody, at: datetime) -> tuple[PinView, bool]:
        """The pin, and whether the name is new; the books must be locked."""
        before = self.get(project, name)
        parent = before.digest if before else None
        if before and before.digest == body.digest:
            parent = before.parent  # The same again is no new step in its history.
        record = {
            "digest": body.digest,
            "at": at.isoformat(),
            "by": body.by,
            "parent": parent,
            "notebook": body.notebook,
        }
        write_whole(self.path(project, name), json.dumps(record, indent=1).encode(), READ_WRITE)
        view = PinView.model_validate({**record, "project": project, "name": name})
        return view, before is None

    def remove(self, project: str, name: str) -> bool:
        return remove(self.path(project, name))

    def names(self, project: str) -> list[str]:
        """By name."""
        found = (file.name.removesuffix(SUFFIX) for file in files(self.directory / project))
        return sorted(name for name in found if _is(_NAME, name))

    def of_checkpoints(self) -> dict[str, list[str]]:
        """Digest -> `project/name` of the pins that name it."""
        found: dict[str, list[str]] = {}
        for pin in self._all():
            found.setdefault(pin.digest, []).append(f"{pin.project}/{pin.name}")
        return found

    def _all(self) -> Iterator[PinView]:
        for project in self._projects():
            for name in self.names(project):
                if (pin := self.get(project, name)) is not None:
                    yield pin

    def folders(self) -> list[Path]:
        try:
            return [path for path in self.directory.iterdir() if path.is_dir()]
        except FileNotFoundError:
            return []

    def _projects(self) -> list[str]:
        names = (path.name for path in self.folders())
        return sorted(name for name in names if _is(_PROJECT, name))


def _is(kind: TypeAdapter[str], name: str) -> bool:
    try:
        kind.validate_python(name)
    except ValidationError:
        return False
    return True
