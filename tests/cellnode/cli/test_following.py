"""`cellnode logs` where there is nothing to print: a person is told, a pipe gets nothing."""

from __future__ import annotations

from tests.cellnode.cli.terminal import here
from tests.cellnode.site import serving, streamed


def test_a_cell_that_wrote_nothing_is_told_apart_from_a_fault() -> None:
    with serving(streamed()) as site:
        ended = here("logs", "digits", "--url", site.url)

    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("Nothing was written")


def test_a_line_is_printed_and_nothing_more() -> None:
    with serving(streamed(b'{"instance": "digits-1", "line": "hello"}\n')) as site:
        ended = here("logs", "digits", "--url", site.url)

    assert (ended.code, ended.out, ended.err) == (0, "digits-1 | hello\n", "")
