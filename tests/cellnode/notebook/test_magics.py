"""`%%node` and `%node` in a real kernel, against the real system."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.cellnode.notebook.kernel import Kernel
from tests.e2e.system import System
from tests.e2e.waiting import until

pytestmark = pytest.mark.full  # A kernel and a system of its own take their time to start.

STATE = "factor = 2\nhelper = lambda x: x * factor\nx = 1.5\ny = 3.0\nlast = '<b>bold</b>'"


def called(system: System, node: str, **inputs: object) -> object:
    host, port = system.gateway
    request = urllib.request.Request(
        f"http://{host}:{port}/v1/nodes/{node}:execute",
        json.dumps({"input": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["output"]


def test_three_cells_lead_to_an_answered_call(kernel: Kernel, notebook_system: System) -> None:
    kernel.run(STATE)

    ran = kernel.run("%%node double --inputs x --outputs y\ny = helper(x)")

    assert ran.status == "ok", ran
    assert "HEALTHY" in ran.last_html
    assert "curl " in ran.last_html
    assert "units an hour" in ran.last_html or "unit an hour" in ran.last_html
    assert "also while the node is idle" in ran.last_html
    assert called(notebook_system, "double", x=4.5) == {"y": 9.0}
    assert kernel.run("print(double.call(x=1)['y'])").stdout == "2\n"


def test_the_statuses_are_seen_while_they_change(kernel: Kernel) -> None:
    kernel.run(STATE)
    ran = kernel.run("%%node seen --inputs x --outputs y --want 2\ny = helper(x)")

    pictures = [bundle["text/html"] for bundle in ran.bundles]
    assert len(pictures) >= 3
    assert any("pinning" in picture for picture in pictures)
    assert "HEALTHY" not in pictures[0]
    assert pictures[-1].count(">HEALTHY<") == 3


def test_a_node_at_the_end_of_a_cell_shows_itself_and_escapes_what_it_quotes(
    kernel: Kernel,
) -> None:
    kernel.run(STATE)
    broken = "%%node broken --outputs y\nraise_at_load = 1\ny = last"
    assert kernel.run(broken).status == "ok"

    shown = kernel.run("broken")

    assert "<b>bold" not in shown.last_html
    assert "HEALTHY" in shown.last_text


def test_a_view_is_a_line_and_an_output_may_have_the_name_of_the_node(kernel: Kernel) -> None:
    kernel.run(STATE)
    kernel.run("%%node same --outputs same\nsame = factor")

    again = kernel.run("%%node same --outputs same\nsame = factor + 1")
    viewed = kernel.run("same.scale(1)")

    assert (again.status, again.stderr) == ("ok", "")
    assert viewed.last_text.startswith("NodeView(project='default', node='same'")
    assert len(viewed.last_text.splitlines()) == 1


def test_a_variable_of_the_same_name_is_kept(kernel: Kernel) -> None:
    kernel.run(STATE + "\nmine = 'kept'")

    ran = kernel.run("%%node mine --outputs y\ny = factor")

    assert "mine_node" in ran.last_html
    assert kernel.run("print(mine, mine_node.name)").stdout == "kept mine\n"


def test_what_cannot_work_is_refused_before_anything_is_deployed(kernel: Kernel) -> None:
    kernel.run(STATE)
    cases = {
        "%%node wrong --outputs y\ny = nowhere": "nowhere",
        "%%node wrong --outputs z\ny = factor": "--outputs z",
        "%%node wrong --outputs y\ny = = 1": "line 2",
        "%%node wrong --outputs y\n!ls": "plain Python",
        "%%node Wrong\ny = 1": "no name of a node",
        "%%node wrong --nothing\ny = 1": "--nothing",
    }
    for source, told in cases.items():
        ran = kernel.run(source)
        assert ran.status == "error", source
        assert told in ran.error, ran
        assert "Traceback" not in ran.error
    assert "wrong" not in kernel.run("%node ls").last_text


def test_nodes_are_listed_shown_read_and_removed(kernel: Kernel) -> None:
    kernel.run(STATE)
    kernel.run("%%node talks --outputs y\nprint('heard')\ny = 1")
    kernel.run("talks.call()")

    assert "talks" in kernel.run("%node ls").last_text
    assert "HEALTHY" in kernel.run("%node show talks").last_text
    until("the line is there", lambda: "heard" in kernel.run("%node logs talks").stdout)
    assert "talks" in kernel.completed("%node show ta")
    assert kernel.run("%node rm talks").status == "ok"
    assert "talks" not in kernel.run("%node ls").last_text
    assert "no node" in kernel.run("%node show talks").last_text


def test_a_cell_that_fails_at_load_tells_why(kernel: Kernel) -> None:
    kernel.run(
        "class Bad:\n    def __reduce__(self):\n        return (int, ('no number',))\nbad = Bad()"
    )

    ran = kernel.run("%%node unlucky --outputs y\ny = str(bad)")

    assert ran.status == "error"
    assert "no number" in ran.error
    assert "Traceback (most" not in ran.error.split("cellnode")[0]


def test_no_server_is_said_with_the_remedy(kernel: Kernel) -> None:
    kernel.run("import os; os.environ['CELLNODE_URL'] = 'http://127.0.0.1:9'")
    try:
        ran = kernel.run("%node ls")
    finally:
        kernel.run("del os.environ['CELLNODE_URL']")

    assert ran.status == "error"
    assert "cellnode up" in ran.error


def test_an_interrupt_says_what_goes_on(kernel: Kernel) -> None:
    kernel.run(
        "import time\nclass Slow:\n    def __reduce__(self): return (time.sleep, (3,))"
        "\nslow = Slow()"
    )
    asked = kernel.client.execute("%%node slowly --outputs y\ny = str(slow)", allow_stdin=False)
    seen = kernel.client.get_iopub_msg(timeout=20)
    while "PREPARING" not in str(seen["content"]):
        seen = kernel.client.get_iopub_msg(timeout=20)

    kernel.manager.interrupt_kernel()
    ran = kernel.heard(asked)

    assert "%node rm slowly" in ran.error
    assert kernel.run("%node rm slowly").status == "ok"


def test_the_usage_is_one_line_away(kernel: Kernel) -> None:
    assert "%node logs NAME" in kernel.run("%node").stdout
    assert "not understood" in kernel.run("%node fly").error
