"""What a cell reads of its surroundings."""

import pytest

from cellnode.needs import needs_of


@pytest.mark.parametrize(
    ("cell", "surely", "perhaps"),
    [
        ("y = model(x)", {"model", "x"}, set()),
        ("x = 1\ny = x", set(), set()),
        ("count += 1", {"count"}, set()),
        ("import numpy as np\ny = np.sum(values)", {"values"}, set()),
        ("def f(a):\n    b = a\n    return a + b + k\ny = f(1)", {"k"}, set()),
        ("y = [v * scale for v in values]", {"scale", "values"}, set()),
        ("y = (lambda a: a + k)(1)", {"k"}, set()),
        ("for i in values:\n    last = i\ny = last", {"values"}, {"last", "i"}),
        ("if flag:\n    f = 1\ny = f", {"flag"}, {"f"}),
        ("with opened(p) as f:\n    y = f", {"opened", "p"}, {"f"}),
        ("def f():\n    global seen\n    seen = seen + 1\nf()", {"seen"}, set()),
        ("class A(Parent):\n    size = k\ny = A()", {"Parent", "k"}, set()),
        ("try:\n    y = g()\nexcept Odd as error:\n    y = error", {"g", "Odd"}, {"error"}),
        ("del cache['x']", {"cache"}, set()),
        ("y = f'{name!r}'", {"name"}, set()),
    ],
)
def test_names_that_a_cell_reads(cell: str, surely: set[str], perhaps: set[str]) -> None:
    found = needs_of(cell)

    assert (set(found.surely), set(found.perhaps)) == (surely, perhaps)


def test_what_is_no_python_is_told() -> None:
    with pytest.raises(SyntaxError):
        needs_of("y =")
