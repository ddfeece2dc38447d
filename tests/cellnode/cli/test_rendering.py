"""What is made of the api's answers: rows, pages, lines and words, without any server."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone

import pytest

from cellnode.cli import how_to_call, nodes_text, words
from cellnode.cli.call import of_word
from cellnode.cli.exits import CommandFailed
from cellnode.cli.failures import failure_of
from cellnode.cli.progress import Progress, done
from cellnode.cli.screen import ReaderGone, Screen, aligned
from cellnode.errors import (
    CellnodeError,
    FileFailed,
    MarkError,
    ProblemError,
    ServerUnreachable,
    WaitTimedOut,
)
from cellnode.models import NodeView
from cellnode.telling import PASSED
from schemas.statuses import SENTENCES, Reason
from tests.cellnode.cli import samples
from tests.cellnode.cli.terminal import here
from tests.cellnode.site import problem as refused
from tests.cellnode.site import serving

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
URL = "http://127.0.0.1:8080/v1/nodes/digits:execute"


def shown(node: NodeView) -> str:
    stream = io.StringIO()
    nodes_text.show(Screen(stream=stream), node, URL)
    return stream.getvalue()


def row(node: NodeView) -> list[str]:
    return [str(cell) for cell in nodes_text.row_of(node)]


def test_a_healthy_node_needs_no_why() -> None:
    assert row(samples.node())[:5] == ["digits", "HEALTHY", "2/2", "small", "2"]
    assert row(samples.node())[-1] == ""


def test_a_node_in_trouble_is_listed_with_its_first_cause() -> None:
    assert row(samples.in_trouble())[1:3] == ["UNHEALTHY", "1/2"]
    assert row(samples.in_trouble())[-1] == "Loading the checkpoint or the cell failed."


def test_a_node_that_nobody_has_looked_at_is_just_made() -> None:
    node = samples.node(status=None, instances=[])

    assert row(node)[1:3] == ["CREATED", "0/2"]
    assert "CREATED" in shown(node)


def test_a_suspended_node_costs_nothing() -> None:
    cost = {"instance_type": "small", "units_per_hour_each": 1.0, "units_per_hour": 0.0}
    node = samples.node(cost=cost, status=samples.status("SUSPENDED", healthy=0), instances=[])

    assert "costs       nothing while it is suspended; else 1 unit an hour each" in shown(node)
    assert row(node)[4:] == ["0", row(node)[5], ""]


def test_a_page_tells_what_is_wanted_what_is_and_what_was() -> None:
    text = shown(samples.in_trouble())

    assert f"  call        {URL}" in text
    assert "  costs       1 unit an hour each, 2 in all, also while it is idle" in text
    assert "traceback: Traceback (most recent call last): |   NameError: no model here" in text
    history = [line for line in text.splitlines() if line.startswith("12:") or ":00:0" in line]
    assert len(history) == 6
    assert [line.split()[0] for line in history] == sorted(line.split()[0] for line in history)


def test_why_names_the_instance_in_trouble_and_its_evidence_only_once() -> None:
    stream = io.StringIO()

    nodes_text.explain(Screen(stream=stream), samples.in_trouble())

    assert "digits-7f1e6a-2 is UNHEALTHY (LOAD_FAILED)" in stream.getvalue()
    assert stream.getvalue().count("NameError: no model here") == 1


def test_every_change_of_a_status_is_told_once_and_in_the_order_of_time() -> None:
    progress = Progress(Screen(stream=io.StringIO()), "deploying digits")
    progress.begun_at = NOON - timedelta(seconds=1)
    first = samples.node(instances=[samples.instance(1)], status=None)

    told = [str(line).split() for line in (*progress.news(first), *progress.news(samples.node()))]

    assert [(words[0], words[2], words[3]) for words in told] == [
        ("1.10", "digits-7f1e6a-1", "UNDEFINED"),
        ("2.10", "digits-7f1e6a-1", "HEALTHY"),
        ("1.00", "digits", "CREATED"),
        ("1.20", "digits-7f1e6a-2", "UNDEFINED"),
        ("2.20", "digits-7f1e6a-2", "HEALTHY"),
        ("3.00", "digits", "HEALTHY"),
    ]
    assert list(progress.news(samples.node())) == []


def test_what_was_passed_too_quickly_to_be_told_has_its_sentence_all_the_same() -> None:
    progress = Progress(Screen(stream=io.StringIO()), "deploying digits")
    progress.begun_at = NOON - timedelta(seconds=1)
    steps = [samples.transition("STARTED", "CONTACT", 1), samples.transition("HEALTHY", "READY", 2)]
    node = samples.node(instances=[samples.instance(1, transitions=steps)], status=None)

    told = [str(line) for line in progress.news(node)]

    assert told[0].endswith(SENTENCES[Reason.CONTACT])
    assert {name: SENTENCES[Reason(name)] for name in PASSED} == PASSED


def test_what_was_before_the_command_is_no_news() -> None:
    progress = Progress(Screen(stream=io.StringIO()), "scaling digits to 2")

    assert list(progress.news(samples.node())) == []


def test_the_last_line_says_what_has_come_of_it() -> None:
    assert str(done("digits", samples.node(), 0.42)) == (
        "digits is HEALTHY, 2 of 2 instances healthy, after 0.4 s"
    )
    assert str(done("digits", None, 3)) == "digits is gone, after 3.0 s"


def test_a_list_in_a_pipe_has_straight_columns_and_no_more_lines_than_rows() -> None:
    text = aligned(("A", "LONGER"), [("wider", "x"), ("y", "two\nlines")])

    assert text == "A      LONGER\nwider  x\ny      two | lines\n"


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (timedelta(seconds=3), "3 s"),
        (timedelta(minutes=12, seconds=9), "12 min"),
        (timedelta(hours=5), "5 h"),
        (timedelta(days=9, hours=23), "9 d"),
        (timedelta(seconds=-2), "0 s"),
    ],
    ids=str,
)
def test_an_age_has_one_unit(since: timedelta, said: str) -> None:
    assert words.age(NOON - since, NOON) == said


def test_sizes_and_units_are_said_as_people_say_them() -> None:
    assert [words.size(each) for each in (0, 1023, 1536, 2**31)] == [
        "0 B", "1023 B", "1.5 KiB", "2.0 GiB",
    ]  # fmt: skip
    assert [words.units(each) for each in (1.0, 0.5, 12)] == ["1 unit", "0.5 units", "12 units"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=1", 1),
        ("x=[1, 2.5]", [1, 2.5]),
        ("x=null", None),
        ("x=", ""),
        ("x=two words", "two words"),
        ('x="1"', "1"),
        ("x=a=b", "a=b"),
        ("x=NaN", "NaN"),
    ],
)
def test_a_value_is_json_where_it_is_json(word: str, value: object) -> None:
    assert of_word(word) == ("x", value)


@pytest.mark.parametrize("word", ["x", "=1", "1x=2", "x-y=1", ""])
def test_a_word_that_names_no_input_is_refused(word: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        of_word(word)

    assert failed.value.code == 2


def test_the_lines_that_call_a_node_name_its_project_and_quote_their_text() -> None:
    lines = how_to_call.lines(URL, "digits", "vision", {"text": "it's"})

    assert lines == [
        f"curl {URL} -H 'Cellnode-Project: vision' "
        """-d '{"input": {"text": "it'"'"'s"}}'""",
        """cellnode call digits 'text="it'"'"'s"' --project vision""",
        "",
        "import cellnode",
        "cellnode.connect('http://127.0.0.1:8080', project='vision')"
        """.node('digits').call(text="it's")""",
    ]


def test_the_page_of_a_node_is_that_of_its_project() -> None:
    assert how_to_call.page(URL, "default") == "http://127.0.0.1:8080/v1/nodes/digits/docs"
    assert how_to_call.page(URL, "research").endswith("/v1/nodes/digits/docs?project=research")


def test_a_call_that_no_instance_takes_leads_to_why() -> None:
    told = "No instance of default/digits is healthy now."
    with serving(refused("no-healthy-instance", detail=told)) as site:
        ended = here("call", "digits", "image=3", "--url", site.url)

    assert ended.err.splitlines() == [
        f"cellnode: {told}",
        "  → see why: cellnode why digits",
    ]


def test_an_input_that_is_too_long_to_paste_is_read_from_a_file() -> None:
    lines = how_to_call.lines(URL, "digits", "default", {"image": list(range(1000))})

    assert lines[0] == f"curl {URL} -d @input.json"
    assert lines[1] == "cellnode call digits --input-file input.json"
    assert max(map(len, lines)) < 120


def test_values_that_were_sent_as_text_are_printed_as_text() -> None:
    stream = io.StringIO()

    Screen(stream=stream).json({"at": NOON, "image": b"\x00\xff"})

    assert stream.getvalue() == '{"at": "2026-01-31T12:00:00+00:00", "image": "AP8="}\n'


def problem(status: int, code: str, **more: object) -> ProblemError:
    return ProblemError.of(status, {"code": code, "detail": "it is so", **more})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (problem(422, "invalid-field"), 1),
        (problem(409, "node-unhealthy"), 1),
        (problem(500, "cell-error"), 1),
        (problem(503, "no-healthy-instance"), 1),
        (problem(404, "node-unknown"), 4),
        (problem(410, "node-deleting"), 4),
        (problem(504, "wait-timeout"), 5),
        (ServerUnreachable("http://x", "refused"), 3),
        (WaitTimedOut("not there after 1 s"), 5),
        (MarkError("wrong"), 2),
        (FileFailed("no marked cell"), 2),
        (FileFailed("it raised", cell=2), 1),
        (CellnodeError("'x' is no address"), 2),
    ],
    ids=lambda value: getattr(value, "code", "") or type(value).__name__,
)
def test_every_failure_has_its_exit_code(error: Exception, code: int) -> None:
    assert failure_of(error).code == code


def test_a_reader_that_has_gone_is_told_apart_from_other_trouble() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(ReaderGone):
        Screen(stream=Gone()).json({})
