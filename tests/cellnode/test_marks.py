"""Marks: one grammar for notebooks, scripts and magics; what is wrong is named."""

import pytest

from cellnode import marks
from cellnode.errors import MarkError
from cellnode.marks import Mark


def test_a_mark_says_all_that_a_node_needs() -> None:
    text = (
        "digits --inputs image,scale more --outputs label --min 1 --want=3 --type medium "
        "--idempotent --deadline 2.5 --env A=1 'B=x y' --env C= --pin base"
    )

    assert marks.parse(text) == Mark(
        "digits",
        inputs=("image", "scale", "more"),
        outputs=("label",),
        min=1,
        want=3,
        instance_type="medium",
        idempotent=True,
        deadline_seconds=2.5,
        env={"A": "1", "B": "x y", "C": ""},
        pin="base",
    )


def test_what_is_not_said_is_left_to_the_server() -> None:
    mark = marks.parse("digits")

    assert (mark.pin_name, mark.min, mark.want) == ("digits", 1, 1)
    assert not {"instance_type", "deadline_seconds"} & mark.options().keys()


def test_a_minimum_alone_is_wanted_too() -> None:
    assert marks.parse("digits --min 2").want == 2


def test_names_may_be_given_several_times() -> None:
    assert marks.parse("a --inputs b --inputs c,d").inputs == ("b", "c", "d")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the name of the node is missing"),
        ("--inputs a", "the name of the node is missing"),
        ("Digits", "'Digits' is no name"),
        ("a b", "'b' stands before any option"),
        ("a --input b", "there is no option --input; the options are --inputs"),
        ("a --inputs", "--inputs names no variable"),
        ("a --inputs b,b", "names a variable twice"),
        ("a --inputs b-c", "'b-c' is no name of a variable"),
        ("a --min x", "--min takes a whole number"),
        ("a --min 0", "--min takes a whole number"),
        ("a --want 1001", "from 1 to 1000"),
        ("a --min 3 --want 2", "--min 3 is more than --want 2"),
        ("a --want 1 2", "--want takes one value"),
        ("a --want 1 --want 2", "--want is given twice"),
        ("a --deadline -1", "--deadline takes seconds above 0"),
        ("a --deadline inf", "--deadline takes seconds above 0"),
        ("a --idempotent yes", "--idempotent takes no value"),
        ("a --env X", "--env takes KEY=VALUE, not 'X'"),
        ("a --env", "--env takes KEY=VALUE"),
        ("a --pin X", "'X' is no name"),
        ("a --type", "--type takes one value"),
        ("a --env 'X=1", "close what is quoted"),
    ],
)
def test_a_wrong_mark_names_the_word_and_the_remedy(text: str, told: str) -> None:
    with pytest.raises(MarkError, match=told.replace("(", r"\(")):
        marks.parse(text)


@pytest.mark.parametrize(
    "line",
    ["# %% [node] digits", "#%% [node] digits", "# %% A title [node]  digits", "# %%node digits"],
)
def test_a_heading_of_a_script_marks_its_cell(line: str) -> None:
    assert marks.of_heading(line) == Mark("digits")


@pytest.mark.parametrize("line", ["# %%", "# %% node of a graph", "# %% [markdown]", "x = 1"])
def test_other_headings_mark_nothing(line: str) -> None:
    assert marks.of_heading(line) is None


@pytest.mark.parametrize("first", ["%%node digits", "# node: digits", "\n  \n#node: digits"])
def test_the_first_line_of_a_cell_marks_it_and_is_no_part_of_it(first: str) -> None:
    assert marks.of_first_line(f"{first}\nx = 1\ny = 2\n") == (Mark("digits"), "x = 1\ny = 2\n")


@pytest.mark.parametrize("source", ["", "x = 1\n# node: digits", "%%nodes digits", "# nodes: x"])
def test_what_is_no_mark_stays(source: str) -> None:
    assert marks.of_first_line(source) is None
