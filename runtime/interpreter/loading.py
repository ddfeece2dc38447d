"""Verify a checkpoint, compare it with this Python, then load it into a namespace."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import pickle
import platform
import sys
import traceback
import types
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

Namespace = dict[str, Any]
FORMAT_VERSION = 1
EVIDENCE_CHARACTERS_MAX = 16 * 1024
# Smaller blobs are read: a mapping costs a page, and before Python 3.13 an open file.
MAPPED_BYTES_MIN = 1024 * 1024


class Refused(Exception):
    """A checkpoint that cannot be loaded here: why for programs, for people, and the proof."""

    def __init__(self, reason: str, sentence: str, evidence: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.evidence = evidence or {}

    def as_dict(self) -> dict[str, Any]:
        return {"reason": self.reason, "sentence": self.sentence, "evidence": self.evidence}


class Loaded(NamedTuple):
    """A checkpoint in this process."""

    namespace: Namespace  # From now on that of `__main__`.
    schemas: dict[str, Any]  # Of its variables, by name.


def load(store: str, digest: str) -> Loaded:
    """The restored checkpoint, or Refused."""
    manifest = read_manifest(store, digest)
    compare(manifest)
    # Every byte is verified before the first one is unpickled.
    groups = [_verified_group(store, group) for group in manifest["groups"]]
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    # Classes and functions of the notebook say `__main__`; here they find themselves.
    sys.modules["__main__"] = module
    for bound in manifest["modules"]:
        module.__dict__[bound["name"]] = _import(bound["module"])
    for index, group in enumerate(groups):
        module.__dict__.update(_unpickle(group, _names(manifest, index)))
    return Loaded(module.__dict__, {each["name"]: each["schema"] for each in manifest["variables"]})


def read_manifest(store: str, digest: str) -> dict[str, Any]:
    """The manifest whose bytes have this digest."""
    path = os.path.join(store, "checkpoints", f"{digest}.json")
    raw = _read(path, f"checkpoint {digest}")
    _must_be(hashlib.sha256(raw).hexdigest(), digest, f"the manifest of checkpoint {digest}")
    manifest: dict[str, Any] = json.loads(raw)
    if manifest.get("format") != FORMAT_VERSION:
        raise Refused(
            "LOAD_FAILED",
            f"The checkpoint has format {manifest.get('format')}; "
            f"this interpreter reads format {FORMAT_VERSION}.",
        )
    return manifest


def _read(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise Refused("CHECKPOINT_MISSING", f"The store has no {what}.", {"path": path}) from None
    except OSError as error:
        raise Refused("CHECKPOINT_MISSING", f"Cannot read {what}: {error}.") from None


def _must_be(found: str, wanted: str, what: str) -> None:
    if found != wanted:
        evidence = {"wanted": wanted, "found": found}
        raise Refused("CHECKPOINT_DAMAGED", f"The bytes of {what} are damaged.", evidence)


def compare(manifest: dict[str, Any]) -> None:
    """Refuse another Python, machine or package than the pin was made with."""
    _compare_python(manifest["python"], manifest["platform"])
    wanted = manifest["packages"]
    missing, different = _package_differences(wanted) if wanted else ([], [])
    if missing:
        raise _differs("PACKAGE_MISSING", [*missing, *different])
    if different:
        raise _differs("PACKAGE_MISMATCH", different)


def _compare_python(pinned: dict[str, str], machine: dict[str, str]) -> None:
    differences = []
    implementation, version = platform.python_implementation(), platform.python_version()
    here = (implementation, *sys.version_info[:2])
    if (pinned["implementation"], *map(int, pinned["version"].split(".")[:2])) != here:
        differences.append(
            f"pinned by {pinned['implementation']} {pinned['version']}, "
            f"the node has {implementation} {version}"
        )
    if (machine["system"], machine["machine"]) != (platform.system(), platform.machine()):
        differences.append(
            f"pinned on {machine['system']} {machine['machine']}, "
            f"the node is {platform.system()} {platform.machine()}"
        )
    if differences:
        raise _differs("PYTHON_MISMATCH", differences)


def _package_differences(wanted: dict[str, str]) -> tuple[list[str], list[str]]:
    # Imported here: it takes longer than all else, and small checkpoints need no packages.
    from importlib.metadata import PackageNotFoundError, version

    missing, different = [], []
    for name, pinned in sorted(wanted.items()):
        try:
            installed = version(name)
        except PackageNotFoundError:
            missing.append(f"{name} {pinned} is not installed")
            continue
        if installed != pinned:
            different.append(f"{name} {pinned} was pinned, {installed} is installed")
    return missing, different


def _differs(reason: str, differences: list[str]) -> Refused:
    text = "; ".join(differences)
    return Refused(reason, f"The node's Python does not fit: {text}.", {"difference": text})


def _verified_group(store: str, group: dict[str, Any]) -> tuple[memoryview, list[memoryview]]:
    blob = _verified_blob(store, group["blob"])
    return blob, [_verified_blob(store, buffer) for buffer in group["buffers"]]


def _verified_blob(store: str, blob: dict[str, Any]) -> memoryview:
    """The blob, writable; where it is large, mapped, so that instances share its pages."""
    sha256: str = blob["sha256"]
    path = os.path.join(store, "blobs", sha256[:2], sha256)
    what = f"blob {sha256}"
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != blob["bytes"]:
                _must_be(f"{size} bytes", f"{blob['bytes']} bytes", what)
            view = memoryview(_contents(file, size))
    except FileNotFoundError:
        raise Refused("CHECKPOINT_MISSING", f"The store has no {what}.", {"path": path}) from None
    except OSError as error:
        raise Refused("CHECKPOINT_MISSING", f"Cannot read {what}: {error}.") from None
    _must_be(hashlib.sha256(view).hexdigest(), sha256, what)
    return view


def _contents(file: BinaryIO, size: int) -> bytearray | mmap.mmap:
    if size < MAPPED_BYTES_MIN:
        return bytearray(file.read())
    if sys.version_info >= (3, 13):
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY, trackfd=False)
    return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)


def _names(manifest: dict[str, Any], index: int) -> str:
    return ", ".join(each["name"] for each in manifest["variables"] if each["group"] == index)


def _import(name: str) -> types.ModuleType:
    try:
        return import_module(name)
    except BaseException as error:
        raise failed(f"Importing the module {name!r} failed", error) from None


def _unpickle(group: tuple[memoryview, list[memoryview]], names: str) -> Namespace:
    blob, buffers = group
    try:
        restored: Namespace = pickle.loads(blob, buffers=buffers)
        return restored
    except BaseException as error:
        raise failed(f"Loading {names} failed", error) from None


def failed(what: str, error: BaseException) -> Refused:
    """LOAD_FAILED with the traceback of the user's code, ours left out."""
    sentence = f"{what}: {type(error).__name__}: {safe_text(error)}"
    return Refused("LOAD_FAILED", sentence[:1000], {"traceback": traceback_of(error, __file__)})


def safe_text(error: BaseException) -> str:
    """What the exception says; its `__str__` is the user's code and may fail, too."""
    try:
        return _unicode(str(error))
    except BaseException as second:
        return f"<its text failed with {type(second).__name__}>"


def _formatted(error: BaseException, frames: types.TracebackType | None) -> str:
    try:
        return _unicode("".join(traceback.format_exception(type(error), error, frames)))
    except BaseException as second:  # It runs what the user's code may have replaced.
        return f"<its traceback failed with {type(second).__name__}>\n"


def _unicode(text: str) -> str:
    """Lone surrogates would be no JSON for those who read on."""
    return text.encode(errors="backslashreplace").decode()


def traceback_of(error: BaseException, *hidden: str) -> str:
    """The traceback without the leading frames of the hidden files, cut in the middle."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in hidden:
        frames = frames.tb_next
    text = _formatted(error, frames)
    if len(text) <= EVIDENCE_CHARACTERS_MAX:
        return text
    half = EVIDENCE_CHARACTERS_MAX // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
