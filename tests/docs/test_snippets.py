"""Whatever a page tells its reader to type is typed, in order, against one running system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import READ, Block, Typed, blocks, is_like, typed
from tests.docs.reader import reader
from tests.e2e.system import System
from tests.sources import ROOT

pytestmark = pytest.mark.timeout(240)

# What is not typed here, word for word, and why. A row that no page has fails too.
NOT_TYPED = {
    "make up": "the system that the pages meet was started so; it does not end by itself",
    ".venv/bin/jupyter lab examples/notebook.ipynb": "tests/cellnode/notebook/ opens it so",
    "cellnode up": "the system that the pages meet was started so; it does not end by itself",
    "cellnode up --kafka kafka.example:9092 --redis redis://redis.example:6379/0": (
        "tests/cellnode/launcher/ starts it so against others' addresses"
    ),
    "docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger:latest": (
        "somebody else's image; tests/e2e/test_traces.py has a collector of its own"
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 cellnode up": (
        "tests/e2e/test_traces.py starts it so"
    ),
    "kafka-configs.sh --bootstrap-server kafka:9093 --command-config admin.properties "
    "--alter --entity-type users --entity-name health "
    "--add-config 'SCRAM-SHA-512=[password=...]'": (
        "somebody else's cluster; tests/e2e/test_secured.py has users of its own"
    ),
    "deploy/kafka/allow kafka-acls.sh --bootstrap-server kafka:9093 "
    "--command-config admin.properties": "tests/e2e/test_secured.py gives the same rights",
}
NOT_RUN = {
    "yaml": "a job of GitHub's runners; its commands are typed on the same page",
    "toml": "a file that is only shown",
    "ini": "variables of an environment that is not here; each is a setting with tests of its own",
}
# Pages of another system than `cellnode up`, and who types them there.
ELSEWHERE = {"deploy-with-compose.md": "tests/deploy/test_stack.py"}
GENERATED = "docs/reference/"


def is_done(block: Block) -> bool:
    """Run, compared, saved, listed above, or a picture."""
    if block.language == "sh":
        return {line for line in block.text.splitlines() if line} <= NOT_TYPED.keys()
    done = {"console", "python", "json", "text", *NOT_RUN, ""}
    return block.language in done or bool(block.file)


PAGES = [
    pytest.param(path, id=path.name, marks=pytest.mark.full)
    for path in READ
    if any(block.language in {"console", "python"} for block in blocks(path))
    and path.name not in ELSEWHERE
]


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    running = System()
    running.start()
    try:
        yield running
    finally:
        running.stop()
        running.remove()


@pytest.mark.parametrize("path", PAGES)
def test_a_reader_gets_what_the_page_says(path: Path, system: System, tmp_path: Path) -> None:
    with reader(tmp_path, system) as reads:
        for block in map(without_the_untyped, blocks(path)):
            reads.does(block)


def without_the_untyped(block: Block) -> Block:
    if block.language != "console" or not block.text:
        return block
    kept = [one for one in typed(block) if one.command not in NOT_TYPED]
    text = "".join(f"$ {one.command}\n{one.printed}\n" for one in kept)
    return Block(block.place, block.language, block.file, text)


def test_all_that_is_not_typed_stands_on_a_page() -> None:
    found = {
        line.removeprefix("$ ")
        for path in READ
        for block in blocks(path)
        for line in block.text.splitlines()
    }

    assert sorted(NOT_TYPED.keys() - found) == []


def test_every_block_is_run_or_said_to_be_a_picture() -> None:
    written = (block for path in READ for block in blocks(path) if GENERATED not in block.place)

    assert [block.place for block in written if not is_done(block)] == []


def test_the_rules_of_this_file_can_fail() -> None:
    block = Block("", "console", "", "$ one \\\n  two\nprinted 1 of 2\n\n$ three\n")

    assert typed(block) == [Typed("one \\\n  two", "printed 1 of 2\n"), Typed("three", "")]
    assert is_like("took 0.3 s \nok", "took ... s\nok")
    assert is_like("one\ntwo\nthree", "one\n...\nthree")
    assert is_like("one\nthree", "one\n...\nthree")
    assert not is_like("took 0.3 s\nnot ok", "took ... s\nok")
    assert ROOT / "README.md" in READ
