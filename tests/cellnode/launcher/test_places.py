"""The data directory has one holder, and sockets find a path that the kernel takes."""

from pathlib import Path

import pytest

from cellnode.launcher.places import (
    SOCKET_PATH_BYTES_MAX,
    DataDirectory,
    DirectoryLock,
    SocketPlace,
    UpFailed,
    packages_path,
)
from tests.sources import ROOT


def a_directory(root: Path) -> DataDirectory:
    directory = DataDirectory(root)
    directory.make()
    return directory


def test_a_second_holder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    directory = a_directory(tmp_path / "data")
    first, second = DirectoryLock(directory), DirectoryLock(directory)
    first.take()

    with pytest.raises(UpFailed, match=r"in use by another.*--data"):
        second.take()

    assert not second.is_held
    first.release()
    second.take()
    assert second.is_held
    second.release()


def test_the_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = a_directory(tmp_path / "data")

    folders = (directory.root, directory.store, directory.logs, directory.instances)
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_a_directory_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UpFailed, match=r"file/data cannot be made.*--data"):
        a_directory(tmp_path / "file" / "data")


def test_sockets_lie_in_the_data_directory_where_that_is_short_enough(tmp_path: Path) -> None:
    sockets = SocketPlace(DataDirectory(Path("/tmp/short")))

    assert sockets.path("redis.sock") == Path("/tmp/short/redis.sock")


def test_sockets_of_a_deep_directory_lie_in_a_short_one_that_is_removed(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * SOCKET_PATH_BYTES_MAX)
    sockets = SocketPlace(a_directory(deep))
    path = sockets.path("redis.sock")

    assert len(str(path)) <= SOCKET_PATH_BYTES_MAX
    assert path.parent.is_dir()
    sockets.remove("redis.sock")
    assert not path.parent.exists()


def test_the_services_are_found_beside_the_package() -> None:
    assert packages_path() == ROOT
