"""The operator's table as a setting: read once at the start, which a damaged one stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.instance_types import INSTANCE_TYPES
from services.chassis.instance_types import InstanceTypesSettings
from services.chassis.settings import Settings, SettingsInvalid

PREFIX = "CELLNODE_PROVISIONER_"
TABLE = '{"c1.4": {"cpu_count": 1, "memory_bytes": 134217728, "units_per_hour": 2}}'


def read(path: Path) -> InstanceTypesSettings:
    return InstanceTypesSettings.from_env(PREFIX, {"CELLNODE_INSTANCE_TYPES": str(path)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "types.json"
    path.write_text(TABLE)
    return path


def test_without_a_file_the_built_in_types_are_offered() -> None:
    assert InstanceTypesSettings.from_env(PREFIX, {}).instance_types == INSTANCE_TYPES


def test_the_table_is_read_once(file: Path) -> None:
    settings = read(file)
    file.write_text("damaged")

    assert list(settings.instance_types) == ["c1.4"]
    assert settings.instance_types["c1.4"].units_per_hour == 2.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (TABLE.replace("134217728", "5").encode(), "c1.4.memory_bytes: Input should be greater"),
        (TABLE.replace("cpu_count", "cpus").encode(), "c1.4.cpu_count: Field required"),
        (b"{}", "at least 1 item"),
        (b" " * 5_000_000, "over 1048576 characters"),
    ],
)
def test_a_damaged_table_stops_the_start_naming_file_and_fault(
    file: Path, content: bytes, said: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsInvalid) as refused:
        read(file)
    assert f"CELLNODE_INSTANCE_TYPES={file}: " in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_or_is_none_stops_the_start(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(SettingsInvalid, match="there is no such file"):
            read(path)


def test_services_that_need_no_table_do_not_read_it(tmp_path: Path) -> None:
    env = {"CELLNODE_INSTANCE_TYPES": str(tmp_path / "absent.json")}

    assert Settings.from_env("CELLNODE_GATEWAY_", env).cellnode_instance_types is not None
