"""`deploy` of specs, scripts and notebooks: what is read, what stands over it, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cellnode.cli import main
from cellnode.cli.exits import CommandFailed
from cellnode.cli.overrides import Overrides
from cellnode.cli.parameters import HERE
from cellnode.cli.spec_files import read_spec
from cellnode.cli.wishes import wishes_of
from tests.cellnode.cli.conftest import Shell

SCRIPT = """\
# %%
print("training")
words = {"hi": "Hello"}
# %% [node] polite --inputs name --outputs text --want 2
text = f"{words['hi']} {name}"
"""
SPEC: dict[str, Any] = {"node": "digits", "checkpoint": "p", "cell": "y = x"}


def spec_file(folder: Path, document: dict[str, Any]) -> Path:
    file = folder / "spec.json"
    file.write_text(json.dumps(document))
    return file


def notebook(folder: Path, *cells: tuple[str, list[str]]) -> Path:
    file = folder / "train.ipynb"
    told = [
        {"cell_type": "code", "source": source, "metadata": {"tags": tags}, "outputs": []}
        for source, tags in cells
    ]
    file.write_text(json.dumps({"cells": told, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return file


def test_a_script_is_run_pinned_deployed_and_called(shell: Shell) -> None:
    file = shell.folder / "polite.py"
    file.write_text(SCRIPT)

    ended = shell.run("deploy", str(file), "--min", "2")

    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0].startswith("2 instances of type small: 1 unit an hour each, 2 in all")
    assert lines[1] == "training"
    assert json.loads(shell.run("call", "polite", "name=You").out) == {"text": "Hello You"}


def test_what_lies_beside_a_script_comes_along(shell: Shell) -> None:
    (shell.folder / "phrases_beside.py").write_text("def greet(name): return 'Hi ' + name")
    file = shell.folder / "beside.py"
    cell = "# %% [node] beside --inputs name --outputs text\ntext = phrases_beside.greet(name)"
    file.write_text(f"import phrases_beside\n{cell}")

    assert shell.run("deploy", str(file)).code == 0
    assert json.loads(shell.run("call", "beside", "name=You").out) == {"text": "Hi You"}


def test_a_notebook_is_deployed_under_another_name_as_json(shell: Shell) -> None:
    cells = [
        ("print('aside')\nwords = ['Hello']", []),
        ("# node: listed --inputs name --outputs text\ntext = words[0] + name", ["node"]),
    ]
    file = notebook(shell.folder, *cells)

    ended = shell.run("deploy", str(file), "--name", "renamed", "--json")

    assert json.loads(ended.out)["node"] == "renamed"
    assert ended.err == "aside\n"
    assert json.loads(shell.run("call", "renamed", "name=You").out) == {"text": "HelloYou"}


def test_a_cell_that_raises_is_told_with_its_line(shell: Shell) -> None:
    file = shell.folder / "bad.py"
    file.write_text("# %%\nx = 1 / 0\n# %% [node] bad --outputs x\nx\n")

    ended = shell.run("deploy", str(file))

    assert ended.code == 1
    assert "bad.py, cell 1, line 2 failed: ZeroDivisionError" in ended.err
    assert "x = 1 / 0" in ended.err
    assert shell.run("show", "bad").code == 4


def test_a_node_that_cannot_get_healthy_fails_with_the_evidence(shell: Shell) -> None:
    ended = shell.run("deploy", shell.spec("broken", cell="text = = 1"))

    assert ended.code == 1
    assert "SyntaxError: invalid syntax" in ended.err
    assert "cellnode logs broken" in ended.err
    why = shell.run("why", "broken").out
    assert why.startswith("broken is UNHEALTHY (TOO_FEW_HEALTHY)")
    assert "    text = = 1" in why
    assert "SyntaxError" in next(
        line for line in shell.run("ls").out.splitlines() if line.startswith("broken ")
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--type", "huge"], "instance_type"),
        (["--min", "0"], "instances.min"),
        (["--checkpoint", "nobody"], "nobody"),
    ],
)
def test_what_the_server_refuses_is_told_with_its_field(
    shell: Shell, options: list[str], said: str
) -> None:
    ended = shell.run("deploy", shell.spec("refused"), *options)

    assert ended.code in (1, 4)
    assert said in ended.err
    assert shell.run("show", "refused").code == 4


def test_options_stand_over_the_spec(tmp_path: Path) -> None:
    told = {
        **SPEC,
        "inputs": [{"name": "x", "schema": {"type": "number"}}],
        "instances": {"min": 2, "want": 3},
        "env": {"A": "1"},
    }
    overrides = Overrides(
        name="other", inputs="x, z", want=1, type="large", idempotent=True, env=["B=2=3"]
    )

    (wish,) = wishes_of(spec_file(tmp_path, told), overrides, HERE)

    assert wish.node == "other"
    assert wish.spec["inputs"] == [{"name": "x", "schema": {"type": "number"}}, "z"]
    assert wish.spec["instances"] == {"min": 1, "want": 1}
    assert wish.spec["env"] == {"A": "1", "B": "2=3"}
    assert (wish.spec["instance_type"], wish.spec["idempotent"]) == ("large", True)


def test_a_spec_is_toml_too_and_its_cell_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "cell.py").write_text("y = x + 1\n")
    file = tmp_path / "spec.toml"
    file.write_text('node = "digits"\nproject = "vision"\npin = "p"\ncell_file = "cell.py"\n')

    found = read_spec(file)

    assert (found.node, found.project) == ("digits", "vision")
    assert found.spec == {"checkpoint": "p", "cell": "y = x + 1\n"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"checkpoint": "p", "cell": "y = x"}, "does not name the node"),
        ({**SPEC, "node": 3}, "node is not a name"),
        ({**SPEC, "cell_file": "cell.py"}, "both cell and cell_file"),
        ({"node": "digits", "cell_file": "none.py"}, "none.py cannot be read"),
        ({"node": "digits", "cell_file": 3}, "cell_file is not a path"),
    ],
)
def test_a_spec_that_cannot_be_used_is_wrong_usage(
    tmp_path: Path, document: dict[str, Any], said: str
) -> None:
    with pytest.raises(CommandFailed, match=said) as failed:
        wishes_of(spec_file(tmp_path, document), Overrides(), HERE)

    assert failed.value.code == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("spec.json", "{", "is not JSON"),
        ("spec.toml", "= 3", "is not TOML"),
        ("spec.json", "[1]", "holds no object"),
        ("plain.py", "x = 1", "it has no marked cell"),
        ("wrong.py", "# %% [node] Big\nx", "'Big' is no name"),
        ("nb.ipynb", "{", "nb.ipynb"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, said: str
) -> None:
    file = tmp_path / name
    file.write_text(text)

    assert main(["deploy", str(file)]) == 2

    assert said in capsys.readouterr().err
