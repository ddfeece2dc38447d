"""What `up` hands on of logins and certificates: whole paths, and nothing for its own servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellnode.launcher.given import without_login
from cellnode.launcher.places import UpFailed
from cellnode.launcher.secured import KAFKA, REDIS, handed_on, kafka_tls, redis_login, tls
from services.chassis.settings_security import SecuritySettings


def test_each_setting_of_security_is_known_to_the_launcher() -> None:
    """It may not import ours, so it keeps its own list."""
    names = {name.upper() for name in SecuritySettings.model_fields} - {"REDIS_URL"}
    assert {*KAFKA, *REDIS} == names


def test_files_are_handed_on_by_their_whole_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A service runs in another directory than who started `up`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_SSL_CAFILE", "ca.pem")
    handed = handed_on(has_kafka=True, has_redis=True)
    assert handed == {"KAFKA_SSL_CAFILE": f"{tmp_path}/ca.pem"}


def test_what_is_started_here_needs_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "me")
    handed = handed_on(has_kafka=False, has_redis=True)
    assert handed == dict.fromkeys(KAFKA, "")
    assert handed_on(has_kafka=True, has_redis=False) == dict.fromkeys(REDIS, "")


def test_a_login_of_redis_comes_from_a_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert redis_login() == []
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    assert redis_login() == ["secret"]
    monkeypatch.setenv("REDIS_USERNAME", "health")
    assert redis_login() == ["health", "secret"]


def test_a_file_that_is_no_certificate_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kafka_tls() is None
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    assert kafka_tls() is not None
    monkeypatch.setenv("KAFKA_SSL_CAFILE", os.devnull)
    with pytest.raises(UpFailed, match="KAFKA_SSL_CAFILE"):
        tls("KAFKA")


def test_an_address_is_shown_without_its_login() -> None:
    assert without_login("rediss://me:a/b@host:1/0") == "rediss://host:1/0"
    assert without_login("unix:///tmp/a@b") == "unix:///tmp/a@b"
