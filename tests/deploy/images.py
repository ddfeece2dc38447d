"""Images made of this machine's own programs, where no registry of images can be reached."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.engine import Engine
from tests.deploy.roots import Root
from tests.servers.apache_kafka import JARS
from tests.sources import ROOT

WHEELS = ROOT / ".servers" / "wheels"
DOWNLOAD_SECONDS_MAX = 240.0
# What Apache Kafka's own scripts do, less what they do for other machines than a container.
SCRIPT = """#!/bin/bash
exec java $KAFKA_HEAP_OPTS -cp "/opt/kafka/libs/*" {program} "$@"
"""


def wheels() -> Path:
    """Wheels of all that the image installs, downloaded once."""
    locked = (ROOT / "deploy" / "requirements.lock", ROOT / "deploy" / "instances.txt")
    stamp, wanted = WHEELS / "of.txt", "".join(path.read_text() for path in locked)
    if stamp.exists() and stamp.read_text() == wanted:
        return WHEELS
    shutil.rmtree(WHEELS, ignore_errors=True)
    for path in locked:
        subprocess.run(
            [
                *(str(base_python()), "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--dest", str(WHEELS), "-r", str(path)),
            ],
            check=True,
            timeout=DOWNLOAD_SECONDS_MAX,
        )
    stamp.write_text(wanted)
    return WHEELS


def base_python() -> Path:
    """The Python outside of any environment that runs the tests."""
    return Path(sys.base_prefix, "bin", _version())


def python_image(engine: Engine, image: str) -> None:
    """In place of `python:3.11-slim`: pip has no index there, but the wheels that it will need."""
    root, library = Root(), Path(sys.base_prefix, "lib", _version())
    root.program(base_python(), "/usr/local/bin/python3")
    root.link("/usr/local/bin/python", "python3")
    root.tree(library, f"/usr/local/lib/{_version()}")
    for pip in _pip():
        root.tree(pip, f"/usr/local/lib/{_version()}/site-packages/{pip.name}")
    root.tree(wheels(), "/wheels")
    root.text("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /wheels\n")
    root.become(engine, image)


def redis_image(engine: Engine, image: str) -> None:
    """In place of `redis`: Debian's server, and a volume that is its user's."""
    root = Root()
    for name in ("redis-server", "redis-cli"):
        root.program(Path(str(shutil.which(name))), f"/usr/bin/{name}")
    root.folder("/data", owner=999)
    root.become(engine, image)


def prometheus_image(engine: Engine, image: str) -> None:
    """In place of `prom/prometheus`: Debian's, and a volume that is its user's."""
    root = Root()
    for name in ("prometheus", "wget"):
        root.program(Path(str(shutil.which(name))), f"/usr/bin/{name}")
    root.folder("/prometheus", owner=65534)
    root.become(engine, image, 'ENTRYPOINT ["/usr/bin/prometheus"]')


def kafka_image(engine: Engine, image: str) -> None:
    """In place of `apache/kafka`: its jars, Debian's Java, and scripts of the names it has."""
    root, java = Root(), Path(str(shutil.which("java"))).resolve()
    home = java.parent.parent
    for name in ("bash", "sh"):
        root.program(Path(str(shutil.which(name))), f"/usr/bin/{name}")
    for part in ("bin", "conf", "lib"):
        root.tree(home / part, f"{home}/{part}")
    root.link("/usr/bin/java", str(java))
    root.tree(JARS, "/opt/kafka/libs")
    programs = {"kafka-storage.sh": "kafka.tools.StorageTool", "kafka-run-class.sh": ""}
    for name, program in programs.items():
        root.text(f"/opt/kafka/bin/{name}", SCRIPT.format(program=program), mode=0o755)
    root.folder("/var/lib/kafka/data", owner=1000)
    root.become(engine, image)


def has_pip() -> bool:
    """Whether the stand-in for `python` can install anything."""
    return bool(_pip())


def _pip() -> list[Path]:
    return list(Path(sys.base_prefix, "lib", _version(), "site-packages").glob("pip*"))


def _version() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
