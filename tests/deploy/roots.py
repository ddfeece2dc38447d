"""A root file system gathered from files of this machine, on its way into an image."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.deploy.engine import Engine

LIBRARIES = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
# Loaded by name once they are needed, so that no program says that it is linked to them.
LOADED_LATE = (
    *("libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1", "libstdc++.so.6"),
    *("librt.so.1", "libdl.so.2", "libpthread.so.0", "libutil.so.1"),
)
LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "__pycache__", "site-packages"}
LINKED = re.compile(r"(/\S+) \(0x")
LOADER = "/lib64/"


class Root:
    """Files with modes and without times; `become` makes the image."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(dir="/tmp")  # noqa: SIM115
        self._tar = tarfile.open(fileobj=self._file, mode="w")  # noqa: SIM115
        self._has: set[str] = set()
        for name in ("bin", "lib", "lib64"):
            self.folder(f"/usr/{name}")
            self.link(f"/{name}", f"usr/{name}")
        self.folder("/tmp", mode=0o1777)
        self.text("/etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
        self.text("/etc/nsswitch.conf", "hosts: files dns\n")
        self.libraries(Path(LIBRARIES, name) for name in LOADED_LATE)
        for name in LOADED_LATE:
            self.file(Path(LIBRARIES, name), f"{LIBRARIES}/{name}")

    def program(self, source: Path, target: str) -> None:
        """An executable, and the libraries that it is linked to."""
        self.file(source, target)
        self.libraries([source])

    def tree(self, source: Path, target: str) -> None:
        """All files below a folder, and the libraries that those of them need that are such."""
        for folder, folders, names in os.walk(source, followlinks=True):
            folders[:] = sorted(set(folders) - LEFT_OUT)
            place = Path(target, os.path.relpath(folder, source))
            found = [Path(folder, name) for name in sorted(names)]
            for path in found:
                self.file(path, str(place / path.name))
            self.libraries(
                path for path in found if path.suffix == ".so" or os.access(path, os.X_OK)
            )

    def file(self, source: Path, target: str) -> None:
        """With what a link leads to in place of the link; a link to nothing is left out."""
        name = os.path.normpath(target).lstrip("/")
        if name in self._has or not source.is_file():
            return
        self._has.add(name)
        data = source.read_bytes()
        self._add(name, data, 0o755 if os.access(source, os.X_OK) else 0o644)

    def libraries(self, linked: Iterable[Path]) -> None:
        for library in sorted({one for path in linked for one in _linked_to(path)}):
            is_loader = library.startswith(LOADER)
            place = f"/usr{library}" if is_loader else f"{LIBRARIES}/{Path(library).name}"
            self.file(Path(library), place)

    def text(self, target: str, text: str, mode: int = 0o644) -> None:
        self._add(target.lstrip("/"), text.encode(), mode)

    def folder(self, target: str, *, owner: int = 0, mode: int = 0o755) -> None:
        member = tarfile.TarInfo(target.lstrip("/"))
        member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(member)

    def link(self, target: str, to: str) -> None:
        member = tarfile.TarInfo(target.lstrip("/"))
        member.type, member.linkname = tarfile.SYMTYPE, to
        self._tar.addfile(member)

    def become(self, engine: Engine, image: str, *changes: str) -> None:
        self._tar.close()
        self._file.seek(0)
        made = ("ENV PATH=/usr/local/bin:/usr/bin", *changes)
        options = [part for change in made for part in ("--change", change)]
        engine.docker("import", *options, "-", image, stdin=self._file.read())
        self._file.close()

    def _add(self, name: str, data: bytes, mode: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), mode
        self._tar.addfile(member, io.BytesIO(data))


def _linked_to(program: Path) -> list[str]:
    """The libraries of a program or of another library; none of what is neither."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=20, check=False)
    return LINKED.findall(done.stdout) if done.returncode == 0 else []
