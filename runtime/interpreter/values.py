"""JSON into input variables and output variables into JSON, or a problem that names the culprit."""

from __future__ import annotations

import json
from math import isinf
from typing import Any

from .loading import safe_text
from .schema import BadSchema, Check, Mistyped, compiled, described, quick_kinds

PROBLEMS = {
    "invalid-json": (400, "The body is not JSON"),
    "invalid-input": (400, "An input is unknown, missing or of the wrong type"),
    "cell-error": (500, "The cell raised an exception"),
    "invalid-output": (500, "An output is missing or cannot be expressed in JSON"),
    "response-too-large": (500, "The answer is larger than 16 MiB"),
    "deadline-exceeded": (504, "The deadline passed before the answer"),
}
# Packages whose arrays and scalars know `tolist`; they are recognised without importing them.
ARRAY_PACKAGES = {"numpy", "torch", "pandas"}
TIMES = ("M", "m")  # Their lists hold numbers or times, depending on the unit.
MISSING = object()


class ProblemFound(Exception):
    """What is wrong with a request or its answer, as problem details."""

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.status, title = PROBLEMS[code]
        self.document: dict[str, Any] = {
            "type": f"urn:cellnode:problem:{code}",
            "title": title,
            "status": self.status,
            "detail": detail,
            "code": code,
            **members,
        }


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"{text[:40]} is beyond the range of a double")
    return value


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
# It looks at every number; only one with an exponent is easily too large for a double.
_STRICT_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def _compiled(kind: str, declared: dict[str, Any]) -> Check:
    try:
        return compiled(declared.get("schema"))
    except BadSchema as error:
        raise ValueError(f"{kind} {declared['name']}: {error}") from None


class Inputs:
    """The input variables of a node: decodes and checks the body of a request."""

    def __init__(self, declared: list[dict[str, Any]]) -> None:
        self.checks: dict[str, Check] = {
            each["name"]: _compiled("input", each) for each in declared
        }

    def decode(self, body: bytes) -> dict[str, Any]:
        values = self._input_object(body)
        if values.keys() != self.checks.keys():
            self._refuse_names(values)
        try:
            return {name: self.checks[name](value, name) for name, value in values.items()}
        except Mistyped as error:
            detail = f"input {error}"
            raise ProblemFound("invalid-input", detail, field=f"input.{error.path}") from None
        except RecursionError:
            detail = "the inputs nest deeper than they can be checked"
            raise ProblemFound("invalid-input", detail, field="input") from None

    def _input_object(self, body: bytes) -> dict[str, Any]:
        try:
            decoder = _STRICT_DECODER if b"e" in body or b"E" in body else _DECODER
            document = decoder.decode(body.decode())
        except (ValueError, RecursionError) as error:
            raise ProblemFound("invalid-json", f"the body is not JSON: {error}") from None
        if type(document) is not dict or document.keys() != {"input"}:
            raise ProblemFound(
                "invalid-input", 'the body must be {"input": {...}} and nothing else', field="input"
            )
        values = document["input"]
        if type(values) is not dict:
            detail = f"input must be an object, not {described(values)}"
            raise ProblemFound("invalid-input", detail, field="input")
        return values

    def _refuse_names(self, values: dict[str, Any]) -> None:
        declared = ", ".join(self.checks) or "none"
        for name in self.checks.keys() - values.keys():
            detail = f"input {name} is missing"
            raise ProblemFound("invalid-input", detail, field=f"input.{name}")
        for name in values.keys() - self.checks.keys():
            detail = f"there is no input {name!r}; the inputs are: {declared}"
            raise ProblemFound("invalid-input", detail, field=f"input.{name}")


def _plain(value: Any) -> Any:
    """The lists and numbers of an array or scalar of a known package."""
    package = str(type(value).__module__).partition(".")[0]
    if package in ARRAY_PACKAGES and hasattr(value, "tolist"):
        if getattr(getattr(value, "dtype", None), "kind", "") in TIMES:
            raise TypeError(f"{value.dtype} is not JSON; make text of it with astype(str)")
        plain = value.tolist()
        if type(plain) is not type(value):  # A long double stays one.
            return plain
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is not JSON")


_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
)


class Outputs:
    """The output variables of a node: read from the namespace, encoded and checked."""

    def __init__(self, declared: list[dict[str, Any]], body_bytes_max: int) -> None:
        self.names = [each["name"] for each in declared]
        self.body_bytes_max = body_bytes_max
        self.checks = {
            each["name"]: (quick_kinds(each["schema"]), _compiled("output", each))
            for each in declared
            if each.get("schema") is not None
        }

    def encode(self, namespace: dict[str, Any]) -> bytes:
        values = {name: namespace.get(name, MISSING) for name in self.names}
        try:
            body = _ENCODER.encode({"output": values}).encode()
        except BaseException as error:  # Subclasses of dict, list and str run the user's code.
            raise _culprit(values, error) from None
        if len(body) > self.body_bytes_max:
            detail = f"the answer has {len(body)} bytes, the limit is {self.body_bytes_max}"
            raise ProblemFound("response-too-large", detail)
        if doubtful := self._doubtful(values):
            _must_fit(body, doubtful)
        return body

    def _doubtful(self, values: dict[str, Any]) -> dict[str, Check]:
        """The checks that are more than a look at the type."""
        return {
            name: check
            for name, (kinds, check) in self.checks.items()
            if type(values[name]) not in kinds
        }


def _must_fit(body: bytes, checks: dict[str, Check]) -> None:
    """What callers get is what the node's API document says of it."""
    try:
        values = json.loads(body)["output"]
        for name, check in checks.items():
            check(values[name], name)
    except Mistyped as error:
        detail = f"output {error}; its schema says so, or its type when it was pinned"
        raise ProblemFound("invalid-output", detail, field=f"output.{error.path}") from None
    except (RecursionError, MemoryError) as error:
        detail = f"the outputs cannot be checked: {type(error).__name__}"
        raise ProblemFound("invalid-output", detail, field="output") from None


def _culprit(values: dict[str, Any], together: BaseException) -> ProblemFound:
    for name, value in values.items():
        if value is MISSING:
            detail = f"the cell set no variable {name}"
            return ProblemFound("invalid-output", detail, field=f"output.{name}")
        try:
            _ENCODER.encode(value).encode()
        except BaseException as error:
            kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
            detail = f"output {name} of type {kind} cannot be expressed in JSON: {_told(error)}"
            return ProblemFound("invalid-output", detail, field=f"output.{name}", value_type=kind)
    # Each alone may just fit into the memory, or nest just not too deep.
    detail = f"the outputs cannot be expressed in JSON together: {_told(together)}"
    return ProblemFound("invalid-output", detail, field="output")


def _told(error: BaseException) -> str:
    text = safe_text(error)
    # Those of the encoder explain themselves; of others the kind says more than the text.
    return text if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: {text}"
