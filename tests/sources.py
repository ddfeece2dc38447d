"""Our own source files as parsed trees, for the tests that read the code itself."""

import ast
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("schemas", "services", "runtime", "cellnode")
BESIDE = ("tests", "examples", "benchmarks", "docs", "deploy")
OURS = (*SHIPPED, *BESIDE)


@lru_cache(maxsize=4096)
def parse(path: Path) -> ast.Module:
    """A file is parsed once for all rules."""
    return ast.parse(path.read_text(), str(path))


def modules(root: Path, *folders: str) -> Iterator[Path]:
    """Every Python file below these folders of a tree, in a fixed order."""
    for folder in folders:
        yield from sorted((root / folder).rglob("*.py"))


def imported(path: Path, root: Path) -> Iterator[str]:
    """The dotted name of everything that a file imports, anywhere in it, relative ones resolved."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression that is such a name; empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def tracked() -> list[Path]:
    """Every file that is or could be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True, timeout=30,
    )  # fmt: skip
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file())
