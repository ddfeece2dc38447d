"""The fresh process that builds the state of a file: runs its cells in order, pins in between."""

from __future__ import annotations

import asyncio
import inspect
import json
import linecache
import os
import sys
import traceback
import types
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def main(request_path: str, result_path: str) -> int:
    """Do the steps of the request; the result tells the pins, or which cell failed and where."""
    request: Json = json.loads(Path(request_path).read_bytes())
    result: Json = {"pins": []}
    module = fresh_main(request["file"])
    for step in request["steps"]:
        result["at"] = step.get("number", result.get("at"))
        write(result_path, result)
        try:
            if "pin" in step:
                result["pins"].append(pinned(step["pin"], module.__dict__))
            else:
                run(step, module)
        except BaseException as error:  # A user's cell may raise anything, SystemExit too.
            result["failed"] = failure(error, step)
            write(result_path, result)
            return 1
    write(result_path, result)
    return 0


def fresh_main(file: str) -> types.ModuleType:
    """The module `__main__` as a script of this name would have it."""
    module = types.ModuleType("__main__")
    module.__dict__.update({"__file__": file, "__builtins__": __builtins__})
    sys.modules["__main__"] = module
    sys.argv = [file]
    sys.path[0] = str(Path(file).resolve().parent)
    return module


def run(step: Json, module: types.ModuleType) -> None:
    """Run one cell; its lines have the numbers that they have in the file."""
    # A traceback shows the lines of notebooks, too.
    padded = "\n" * (step["first_line"] - 1) + step["source"]
    linecache.cache[step["place"]] = (
        len(padded), None, padded.splitlines(keepends=True), step["place"],
    )  # fmt: skip
    code = compile(padded, step["place"], "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    returned = types.FunctionType(code, module.__dict__)()
    if inspect.iscoroutine(returned):
        asyncio.run(returned)
    sys.stdout.flush()


def pinned(wish: Json, namespace: Json) -> Json:
    """Pin what the cell needs of the namespace."""
    from cellnode.marks import Mark
    from cellnode.pin_for import pin_for

    mark = Mark(wish["name"], tuple(wish["inputs"]), tuple(wish["outputs"]))
    where = {"store": wish["store"], "project": wish["project"], "upload": False}
    made = pin_for(mark, wish["cell"], namespace, **where)
    skipped = [[each.variable, each.path, each.reason] for each in made.skipped]
    return {
        "name": made.name,
        "project": made.project,
        "digest": made.digest,
        "skipped": skipped,
        "written_bytes": made.written_bytes,
        "store": str(made.store),
    }


def failure(error: BaseException, step: Json) -> Json:
    """What happened, and on which line of the cell."""
    place = step.get("place")
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == place]
    if isinstance(error, SyntaxError) and error.filename == place:
        lines = [error.lineno]
    first = next((n for n, frame in enumerate(frames) if frame.filename == place), len(frames))
    shown = traceback.format_list(frames[first:]) + traceback.format_exception_only(error)
    return {
        "kind": type(error).__name__,
        "text": str(error),
        "is_pin": "pin" in step,
        "line": lines[0] if lines else 0,
        "traceback": "".join(shown),
    }


def write(path: str, result: Json) -> None:
    """Whole or not at all: the process may be killed at any moment."""
    temporary = f"{path}.new"
    Path(temporary).write_text(json.dumps(result))
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
