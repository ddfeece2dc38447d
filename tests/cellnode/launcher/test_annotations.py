"""The annotations service runs where it is told of a Grafana, and only it knows the token."""

from pathlib import Path

import pytest

from cellnode.launcher.places import DataDirectory
from cellnode.launcher.programs import CONTROL_SERVICES, service_program, services_wanted
from cellnode.launcher.secured import handed_on

PREFIX = "CELLNODE_ANNOTATIONS_GRAFANA_"


def test_without_a_grafana_it_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{PREFIX}URL", raising=False)
    assert services_wanted() == CONTROL_SERVICES

    monkeypatch.setenv(f"{PREFIX}URL", "http://127.0.0.1:3000")
    assert services_wanted() == (*CONTROL_SERVICES, "annotations")


def test_the_token_is_told_to_no_other_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"{PREFIX}TOKEN", "glsa_secret")

    def knows(service: str) -> bool:
        program = service_program(service, DataDirectory(tmp_path), {}, "127.0.0.1:1")
        return "glsa_secret" in program.environment.values()

    assert [name for name in (*CONTROL_SERVICES, "annotations") if knows(name)] == ["annotations"]


def test_its_file_is_found_from_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}TOKEN_FILE", "token")

    assert handed_on(has_kafka=False, has_redis=False)[f"{PREFIX}TOKEN_FILE"] == str(
        Path("token").absolute()
    )
