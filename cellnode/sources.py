"""Scripts in percent format and notebooks as the cells that they are made of."""

from __future__ import annotations

import ast
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellnode import marks
from cellnode.errors import FileFailed, MarkError
from cellnode.marks import Mark

FILE_BYTES_MAX = 256 * 1024 * 1024
TAG, SKIP_TAG = "node", "skip-execution"
_HEADING = re.compile(r"#[ \t]*%%")
_TEXT_HEADING = re.compile(r"#[ \t]*%%.*\[(markdown|md|raw)\]")
# What only changes how a notebook looks or what is installed; the state is the same without it.
_HARMLESS = re.compile(
    r"\s*[%!](matplotlib|load_ext|reload_ext|autoreload|config|pip|conda|mamba|uv|precision)\b.*\Z"
)
_BODY_RUNS = re.compile(r"\s*%%(time|timeit|capture|prun)\b")
_FOREIGN = re.compile(r"\s*(%|!|\?)")


@dataclass(frozen=True)
class Cell:
    """One cell of code."""

    number: int  # From 1, texts counted too, as a reader counts them.
    source: str
    first_line: int  # Where its source begins in a script; 1 in a notebook.
    place: str  # For people and tracebacks: the script's path, or `train.ipynb, cell 3`.
    mark: Mark | None = None


def read_cells(path: str | os.PathLike[str]) -> list[Cell]:
    """The code cells of a script (.py) or a notebook (.ipynb), in order."""
    file = Path(path)
    if file.suffix not in (".py", ".ipynb"):
        raise FileFailed(f"{file} is neither a script (.py) nor a notebook (.ipynb)")
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise FileFailed(f"{file} is larger than {FILE_BYTES_MAX} bytes")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileFailed(f"{file} cannot be read: {error}") from None
    return of_script(text, file) if file.suffix == ".py" else of_notebook(text, file)


def of_script(text: str, path: Path) -> list[Cell]:
    """Cells begin at `# %%`; what stands before the first is one, too."""
    lines = text.splitlines(keepends=True)
    headings = [number for number, line in enumerate(lines) if _HEADING.match(line)]
    starts = headings if headings[:1] == [0] else [0, *headings]
    ends = [*starts[1:], len(lines)]
    return [
        _of_part(lines[start:end], number, start, path)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
        if start < end and not _TEXT_HEADING.match(lines[start])
    ]


def _of_part(part: list[str], number: int, start: int, path: Path) -> Cell:
    place = str(path)
    try:
        if mark := marks.of_heading(part[0]):
            return Cell(number, "".join(part[1:]), start + 2, place, mark)
        source = "".join(part)
        return _marked(Cell(number, source, start + 1, place))
    except MarkError as error:
        raise MarkError(f"{place}, line {start + 1}: {error}") from None


def _marked(cell: Cell) -> Cell:
    """The cell without its first line, if that is a mark."""
    body = cell.source.split("\n", 1)[1] if _HEADING.match(cell.source) else cell.source
    found = marks.of_first_line(body if "\n" in cell.source else cell.source)
    if found is None:
        return cell
    mark, rest = found
    above = cell.source.count("\n") - rest.count("\n")
    return Cell(cell.number, rest, cell.first_line + above, cell.place, mark)


def of_notebook(text: str, path: Path) -> list[Cell]:
    """The code cells of nbformat 4."""
    try:
        document = json.loads(text)
        found = document["cells"]
        return [
            cell
            for number, each in enumerate(found, start=1)
            if (cell := _of_notebook_cell(each, number, path)) is not None
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, MarkError):
            raise
        raise FileFailed(
            f"{path} is no notebook of format 4 ({type(error).__name__}: {error}); "
            "open it in Jupyter and save it again"
        ) from None


def _of_notebook_cell(each: dict[str, Any], number: int, path: Path) -> Cell | None:
    tags = each.get("metadata", {}).get("tags", [])
    if each["cell_type"] != "code" or SKIP_TAG in tags:
        return None
    source = each["source"]
    text = source if isinstance(source, str) else "".join(source)
    cell = Cell(number, text, 1, f"{path.name}, cell {number}")
    first = text.lstrip().partition("\n")[0]
    if TAG not in tags and not first.startswith("%%node"):
        return cell
    try:
        found = _marked(cell)
    except MarkError as error:
        raise MarkError(f"{cell.place}: {error}") from None
    if found.mark is None:
        raise MarkError(
            f"{cell.place} has the tag {TAG} but no mark; begin it with "
            "`# node: NAME --inputs A --outputs B`"
        )
    return found


def plain_python(cell: Cell) -> str:
    """The cell without what only notebooks understand; FileFailed where that would matter.

    Lines keep their numbers.
    """
    try:
        ast.parse(cell.source)
        return cell.source
    except SyntaxError:
        lines = cell.source.split("\n")
    if _BODY_RUNS.match(cell.source):
        lines[next(n for n, line in enumerate(lines) if line.strip())] = ""
    for number, line in enumerate(lines):
        if _HARMLESS.match(line):
            blanks = line[: len(line) - len(line.lstrip())]
            lines[number] = f"{blanks}pass" if blanks else ""
        elif _FOREIGN.match(line) and _is_foreign(lines, number):
            raise FileFailed(
                f"{cell.place}, line {cell.first_line + number}: {line.strip()!r} is no Python; "
                f"run it before, or give the cell the tag {SKIP_TAG}",
                cell=cell.number,
                line=cell.first_line + number,
            )
    return "\n".join(lines)


def _is_foreign(lines: list[str], number: int) -> bool:
    """Not a line within a text of several lines, or the rest of an expression."""
    try:
        ast.parse("\n".join(lines[:number]))
    except SyntaxError:
        return False
    return True
