"""The operator's table of instance types, for the settings of the services that need it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import PrivateAttr, model_validator
from typing_extensions import Self

from schemas.errors import InvalidField
from schemas.instance_types import (
    INSTANCE_TYPES,
    TABLE_CHARACTERS_MAX,
    InstanceType,
    parse_instance_types,
)
from services.chassis.settings import Settings

TABLE_BYTES_MAX = 4 * TABLE_CHARACTERS_MAX


class InstanceTypesSettings(Settings):
    """Reads the table once, with the settings: a damaged one stops the start."""

    _instance_types: Mapping[str, InstanceType] = PrivateAttr(default_factory=dict)

    @property
    def instance_types(self) -> Mapping[str, InstanceType]:
        return self._instance_types

    @model_validator(mode="after")
    def _read_the_table(self) -> Self:
        if self.cellnode_instance_types is None:
            self._instance_types = INSTANCE_TYPES
        else:
            self._instance_types = _read(self.cellnode_instance_types)
        return self


def _read(path: Path) -> Mapping[str, InstanceType]:
    """Raises ValueError that names the variable, the file and what is wrong with it."""
    where = f"CELLNODE_INSTANCE_TYPES={path}"
    try:
        if not path.is_file():
            raise ValueError(f"{where}: there is no such file")
        with path.open("rb") as file:
            text = file.read(TABLE_BYTES_MAX + 1).decode()
        return parse_instance_types(text)
    except OSError as error:
        raise ValueError(f"{where}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: it is not UTF-8 text: {error}") from None
    except InvalidField as error:
        raise ValueError(f"{where}: {error.sentence}") from None
