"""The wheel, installed where users have folders with our names: each keeps what is its own."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import ROOT

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

OURS_INSIDE = ("schemas", "services", "runtime")
PIN = re.compile(r"^([A-Za-z0-9._-]+==[^ \\;]+)([^\\]*)", re.MULTILINE)


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a program that must succeed; both outputs are shown if it does not."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def uv() -> Path:
    """The uv that `make` found or installed."""
    beside = Path(sys.executable).parent / "uv"
    found = shutil.which("uv") or (str(beside) if beside.exists() else None)
    assert found, "uv is missing; `make` installs it"
    return Path(found)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir")
    run(*build, folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions of the lock, for an installer that is given the wheel alone."""
    path = tmp_path_factory.mktemp("lock") / "constraints.txt"
    pins = PIN.findall((ROOT / "requirements.lock").read_text())
    path.write_text("".join(f"{pin}{marker.rstrip()}\n" for pin, marker in pins))
    return path


def install(wheel: Path, extra: str, constraints: Path, folder: Path) -> Path:
    """A fresh environment with the wheel in it; its Python."""
    run(uv(), "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    command = (uv(), "pip", "install", "--quiet", "--python", python, "--constraints", constraints)
    run(*command, f"cellnode{extra} @ {wheel.as_uri()}", cwd=folder)
    return python


@pytest.fixture(scope="module")
def python(wheel: Path, constraints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and its extra `server`."""
    return install(wheel, "[server]", constraints, tmp_path_factory.mktemp("full") / "venv")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A user's working directory that has folders with our names."""
    for name in OURS_INSIDE:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("OWNER = 'user'\n")
    return tmp_path


def test_the_wheel_holds_one_package_and_nothing_that_was_compiled(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0].split("-")[0] for name in names} == {"cellnode"}
    assert [name for name in names if name.endswith(".pyc")] == []
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_ours(wheel: Path) -> None:
    """Scripts and other data beside the modules too."""
    names = set(zipfile.ZipFile(wheel).namelist())
    paths = [path for name in OURS_INSIDE for path in (ROOT / name).rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in paths if path.suffix != ".pyc"}

    assert {f"cellnode/_server/{name}" for name in wanted} <= names


def test_no_module_of_our_names_arrives_in_the_environment(python: Path, tmp_path: Path) -> None:
    found = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"

    assert run(python, "-P", "-c", found.format(OURS_INSIDE), cwd=tmp_path).strip() == "[]"


@pytest.mark.parametrize("name", OURS_INSIDE)
def test_a_folder_of_the_user_with_our_name_stays_the_users(
    python: Path, desk: Path, name: str
) -> None:
    """Even after cellnode was imported."""
    program = f"import cellnode, {name}; print({name}.OWNER)"

    assert run(python, "-c", program, cwd=desk).strip() == "user"


def test_a_notebook_gets_nothing_of_what_the_services_need(
    wheel: Path, constraints: Path, desk: Path
) -> None:
    """Pin, client, command and types are there all the same."""
    light = install(wheel, "", constraints, desk / "light")
    program = "import cellnode; cellnode.pin; cellnode.connect().node('a'); import cellnode.http"

    installed = run(uv(), "pip", "freeze", "--quiet", "--python", light, cwd=desk)
    run(light, "-c", program, cwd=desk)
    run(light.parent / "cellnode", "--version", cwd=desk)

    names = {re.split(r"[ =@]", line)[0] for line in installed.split("\n") if line}
    assert {"cellnode", "cloudpickle", "httpx2"} <= names
    assert names & {"aiohttp", "aiokafka", "confluent-kafka", "faststream", "pydantic"} == set()
    assert list(light.parent.parent.rglob("cellnode/py.typed"))


@pytest.fixture
def up(python: Path, desk: Path) -> Iterator[subprocess.Popen[str]]:
    """`cellnode up` from the wheel, begun in the user's directory."""
    command = [str(python.parent / "cellnode"), "up", "--gateway", "127.0.0.1:0"]
    command += ["--data", str(desk / "data")]
    process = subprocess.Popen(command, cwd=desk, stdout=subprocess.PIPE, text=True)
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def addresses(up: subprocess.Popen[str]) -> dict[str, str]:
    """What `up` prints until it is ready; the test's time limit bounds the wait."""
    assert up.stdout is not None, "it was piped"
    told = {}
    for line in up.stdout:
        name, _, value = line.strip().partition(" ")
        told[name] = value
        if name == "ready":
            return told
    raise AssertionError(f"`cellnode up` ended with {up.wait()} before it was ready: {told}")


def processes_that_mention(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It has just ended.
            command = path.read_text(errors="replace").replace("\0", " ")
            found += [command] if text in command else []
    return found


def test_the_whole_system_starts_from_the_wheel_and_leaves_nothing(
    up: subprocess.Popen[str], desk: Path
) -> None:
    """With the user's own `schemas`, `services` and `runtime` in the working directory."""
    gateway = addresses(up)["gateway"]
    call = urllib.request.Request(f"{gateway}/v1/nodes/none:execute", b"{}", method="POST")

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(call, timeout=5)
    up.send_signal(signal.SIGINT)

    assert json.load(refused.value)["code"] == "node-unknown"
    assert up.wait(timeout=10) == 0
    assert processes_that_mention(str(desk)) == []
