"""The size of things, calls with a better substitute, and words that have no place here."""

import ast
import re
import statistics
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.sources import OURS, ROOT, SHIPPED, dotted, modules, parse, tracked

FUNCTION_LINES_MAX = 50
FUNCTION_LINES_MEDIAN_MAX = 10
TEST_LINES_MAX = 25
FILE_LINES_MAX = 300
POSITIONAL_MAX = 4
NESTING_MAX = 3

# What may be longer, by name, with the reason. A row that is no longer needed fails too.
LONGER_FILES = {
    "cellnode/models.py": "written by `make models` from the api's schemas; nobody edits it",
    "tests/e2e/test_promises.py": "the promises are read as one document, in the order of letters",
    "tests/schemas/test_evolution.py": "one fold, and every case of it beside the others",
}

# (call, where it is banned, where it is allowed all the same, what to use instead)
BANNED: list[tuple[str, tuple[str, ...], tuple[str, ...], str]] = [
    (
        "datetime.now",
        SHIPPED,
        ("services/chassis/clock.py", "runtime/*", "cellnode/*"),
        "the clock",
    ),
    ("datetime.utcnow", OURS, (), "the clock"),
    ("time.time", ("services",), ("services/chassis/clock.py",), "the clock"),
    ("time.sleep", ("schemas", "services"), (), "a bounded wait on what is waited for"),
    ("uuid4", SHIPPED, ("services/chassis/clock.py", "cellnode/*"), "the dice of the clock"),
    ("uuid.uuid4", SHIPPED, ("services/chassis/clock.py", "cellnode/*"), "the dice of the clock"),
    (
        "print",
        SHIPPED,
        ("cellnode/cli*.py", "cellnode/launcher*.py", "cellnode/notebook*.py"),
        "the log",
    ),
    ("pickle.loads", SHIPPED, ("runtime/interpreter/*",), "nothing: only interpreters unpickle"),
    ("pickle.load", SHIPPED, ("runtime/interpreter/*",), "nothing: only interpreters unpickle"),
    (
        "cloudpickle.loads",
        SHIPPED,
        ("runtime/interpreter/*",),
        "nothing: only interpreters unpickle",
    ),
    ("os.system", OURS, (), "subprocess.run with a list"),
    ("eval", OURS, (), "code"),
]

# Files where an unnamed exception is caught on purpose, with the reason.
BROAD_CATCHES = {
    "services/chassis/bus*.py": "one bad record must not stop the others: it is buried",
    "services/chassis/loops.py": "a bug in one pass is logged, and the next pass plans again",
    "services/api/problems.py": "a bug behind one request is logged and answered as a problem",
    "cellnode/pin*.py": "what pickling a user's object raises is told beside the variable's name",
    "cellnode/running_child.py": "a user's cell may raise anything; the result says what and where",
    "runtime/interpreter/*": "a user's cell may raise anything; the answer says what",
}

VAGUE = {
    "base",
    "common",
    "helper",
    "helpers",
    "manager",
    "misc",
    "replica",
    "util",
    "utils",
    "worker",
}

NESTS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(parse(path)) if isinstance(node, Function))


def lines(node: Function) -> int:
    assert node.end_lineno is not None, "the parser gives every function its end"
    return node.end_lineno - node.lineno + 1


def long_functions(path: Path) -> Iterator[str]:
    for node in functions(path):
        limit = TEST_LINES_MAX if node.name.startswith("test_") else FUNCTION_LINES_MAX
        if lines(node) > limit:
            yield f"{place(path)}:{node.lineno} {node.name} has {lines(node)} lines of {limit}"


def long_files(path: Path) -> Iterator[str]:
    count = len(path.read_text().splitlines())
    if count > FILE_LINES_MAX and place(path) not in LONGER_FILES:
        yield f"{place(path)} has {count} lines of {FILE_LINES_MAX}"


def many_parameters(path: Path) -> Iterator[str]:
    """Of what is called by people; pytest calls tests, and by name."""
    for node in functions(path):
        if node.name.startswith("test_"):
            continue
        names = [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args)]
        if len([name for name in names if name not in {"self", "cls"}]) > POSITIONAL_MAX:
            yield f"{place(path)}:{node.lineno} {node.name} takes {len(names)} by position"


def depth(node: ast.AST) -> int:
    """How deep blocks stand in blocks; an `elif` is as deep as its `if`, a function starts anew."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda | ast.ClassDef):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, depth(child) + (isinstance(child, NESTS) and not is_elif))
    return deepest


def deep_functions(path: Path) -> Iterator[str]:
    for node in functions(path):
        if depth(node) > NESTING_MAX:
            yield f"{place(path)}:{node.lineno} {node.name} nests {depth(node)} deep"


def banned_calls(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        called = dotted(node.func) if isinstance(node, ast.Call) else ""
        for call, folders, allowed, instead in BANNED if called else ():
            here = place(path).startswith(folders) and not fits(path, allowed)
            if called == call and here:
                yield f"{place(path)}:{getattr(node, 'lineno', 0)} calls {call}; use {instead}"


def fits(path: Path, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(place(path), pattern) for pattern in patterns)


def broad_catches(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ExceptHandler) and not fits(path, tuple(BROAD_CATCHES)):
            caught = dotted(node.type) if node.type else "everything"
            if caught in {"everything", "Exception", "BaseException"}:
                yield f"{place(path)}:{node.lineno} catches {caught}; name what can happen"


def unexplained_modules(path: Path) -> Iterator[str]:
    first = (ast.get_docstring(parse(path)) or "").split("\n\n")[0].strip()
    if path.read_text().strip() and not first.endswith((".", ":", "?")):
        yield f"{place(path)} does not open with a sentence that says what it is"


def vague_names(path: Path) -> Iterator[str]:
    words = set(re.split(r"[^a-z]+", place(path)))
    if words & VAGUE:
        yield f"{place(path)} is named {', '.join(sorted(words & VAGUE))}; say what it holds"


Rule = Callable[[Path], Iterator[str]]
RULES: list[Rule] = [
    long_functions, long_files, many_parameters, deep_functions, banned_calls, broad_catches,
    unexplained_modules, vague_names,
]  # fmt: skip

# Written so that this file does not match its own patterns.
UNWANTED = {
    "left for later": r"\b([T]ODO|[F]IXME|[X]XX)\b",
    "a path of one machine": r"/(work|root)/|/home/[a-z]+/",
    "a package registry's address": r"https?://[a-z0-9.-]*(pypi|pythonhosted|npmjs)\.",
}


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    assert [line for path in modules(ROOT, *OURS) for line in rule(path)] == []


def test_the_median_function_is_short() -> None:
    lengths = [lines(node) for path in modules(ROOT, *OURS) for node in functions(path)]

    assert statistics.median(lengths) < FUNCTION_LINES_MEDIAN_MAX


def test_a_file_that_may_be_longer_is_longer() -> None:
    for name in LONGER_FILES:
        assert len((ROOT / name).read_text().splitlines()) > FILE_LINES_MAX, name


def unwanted(text: str) -> list[str]:
    return [why for why, pattern in UNWANTED.items() if re.search(pattern, text)]


def test_no_file_holds_what_does_not_belong_in_it() -> None:
    texts = {path: path.read_text(errors="replace") for path in tracked()}

    assert {place(path): unwanted(text) for path, text in texts.items() if unwanted(text)} == {}


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (long_functions, "def f():\n" + "    x = 1\n" * 50),
        (long_functions, "def test_a():\n" + "    x = 1\n" * 25),
        (long_files, "x = 1\n" * 301),
        (many_parameters, "def f(a, b, c, d, e): ..."),
        (deep_functions, "def f():\n for a in b:\n  while a:\n   with a:\n    if a: ..."),
        (unexplained_modules, "x = 1"),
        (broad_catches, "try: ...\nexcept Exception: ..."),
        (broad_catches, "try: ...\nexcept: ..."),
    ],
)
def test_a_planted_offence_is_found(tmp_path: Path, rule: Rule, source: str) -> None:
    path = tmp_path / "planted.py"
    path.write_text(source)

    assert len(list(rule(path))) == 1


def test_what_is_just_allowed_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / "planted.py"
    branches = "".join(f"    elif {name}:\n        ...\n" for name in "bcde")
    source = f"def f(self, a, b, c, d, *, e):\n    if a:\n        ...\n{branches}"
    path.write_text('"""Just allowed."""\n\n\n' + source + "    x = 1\n" * 39)

    assert [line for rule in RULES for line in rule(path)] == []


@pytest.mark.parametrize("call", [call for call, _, _, _ in BANNED])
def test_a_banned_call_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str) -> None:
    monkeypatch.setattr("tests.test_tidy.ROOT", tmp_path)
    (tmp_path / "services").mkdir()
    path = tmp_path / "services" / "planted.py"
    path.write_text(f"{call}(1)")

    assert [line for line in banned_calls(path) if call in line]


@pytest.mark.parametrize("name", ["services/common/a.py", "tests/redis_helpers.py", "worker.py"])
def test_a_vague_name_is_found(name: str) -> None:
    assert list(vague_names(ROOT / name))


@pytest.mark.parametrize("parts", [("# TO", "DO: x"), ("cd /wor", "k/x"), ("https://py", "pi.org")])
def test_an_unwanted_word_is_found(parts: tuple[str, str]) -> None:
    assert unwanted("".join(parts))
