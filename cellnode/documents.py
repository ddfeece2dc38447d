"""What the generated models stand on: frozen dataclasses that are read from the api's JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from cellnode.errors import AnswerNotUnderstood

Read = Callable[[Any], Any]
SHORT_CHARACTERS_MAX = 64
M = TypeVar("M", bound="Model")


class Model:
    """Something that the api answers. Fields that this version does not know are left out."""

    # How the fields are read that are not JSON's own types.
    _reads: ClassVar[Mapping[str, Read]] = {}

    @classmethod
    def from_json(cls: type[M], document: Mapping[str, Any]) -> M:
        """Of one JSON object of the api; AnswerNotUnderstood where it does not fit."""
        if not isinstance(document, Mapping):
            raise AnswerNotUnderstood(_told(cls, f"it is {type(document).__name__}, no object"))
        known = dataclasses.fields(cls)  # type: ignore[arg-type]
        given = {field.name: document[field.name] for field in known if field.name in document}
        try:
            for name in cls._reads.keys() & given.keys():
                given[name] = cls._reads[name](given[name])
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise AnswerNotUnderstood(_told(cls, str(error))) from None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """A notebook shows a line of it, not all that lies below."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        told = (f"{field.name}={_short(getattr(self, field.name))}" for field in fields)
        printer.text(f"{type(self).__name__}({', '.join(told)})")

    def to_json(self) -> dict[str, Any]:
        """The JSON object that it was read from, without what this version does not know."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: _plain(getattr(self, field.name)) for field in fields}


def _short(value: Any) -> str:
    if isinstance(value, Model):
        return f"{type(value).__name__}(...)"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, (tuple, Mapping)):
        return f"{len(value)} of them" if value else "none"
    text = repr(value)
    return text if len(text) <= SHORT_CHARACTERS_MAX else f"{text[:SHORT_CHARACTERS_MAX]}..."


def _told(cls: type[Model], reason: str) -> str:
    return (
        f"the server's {cls.__name__} does not fit ({reason}); "
        "install the version of cellnode that the server has"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_json()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def time_of(text: str) -> datetime:
    """An RFC 3339 time; before Python 3.11 the standard library takes no Z and few fractions."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no time")
    head, dot, rest = text.replace("Z", "+00:00").partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        return datetime.fromisoformat(f"{head}.{rest[:digits][:6]:0<6}{rest[digits:]}")
    return datetime.fromisoformat(head)


def list_of(read: Read) -> Read:
    """Reads a list whose items are read so."""
    return lambda values: tuple(read(each) for each in values)


def maybe(read: Read) -> Read:
    """Reads what may be null."""
    return lambda value: None if value is None else read(value)
