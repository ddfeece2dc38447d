"""Settings: typed, frozen, complete; what is misspelt or wrong stops the start and is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from services.chassis.settings import Settings, SettingsInvalid

PREFIX = "CELLNODE_HEALTH_"


class HealthSettings(Settings):
    """A service's own."""

    probes_max: int = Field(default=8, ge=1, le=64)


def read(**env: str) -> HealthSettings:
    return HealthSettings.from_env(PREFIX, env)


def test_without_variables_everything_has_its_default() -> None:
    settings = read()
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.cellnode_store == Path("data/store")
    assert settings.listen_address == ("127.0.0.1", 0)
    assert settings.probes_max == 8


def test_shared_and_own_variables_are_read() -> None:
    settings = read(
        REDIS_URL="unix:///run/redis",
        CELLNODE_DATA="/var/lib/cellnode",
        CELLNODE_CREATE_TOPICS="false",
        CELLNODE_HEALTH_PROBES_MAX="9",
        CELLNODE_HEALTH_LISTEN="127.0.0.1:9100",
        HOME="/home/anyone",
    )
    assert settings.redis_url == "unix:///run/redis"
    assert settings.cellnode_store == Path("/var/lib/cellnode/store")
    assert settings.cellnode_create_topics is False
    assert settings.probes_max == 9
    assert settings.listen_address == ("127.0.0.1", 9100)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CELLNODE_HEALTH_PROBE_MAX", "CELLNODE_HEALTH_PROBES_MAX"),
        ("CELLNODE_HELTH_PROBES_MAX", "CELLNODE_HEALTH_PROBES_MAX"),
        ("CELLNODE_PARTITION", "CELLNODE_PARTITIONS"),
        ("CELLNODE_STORES", "CELLNODE_STORE"),
        ("CELLNODE_HEALTH_CELLNODE_DATA", "CELLNODE_DATA"),
    ],
)
def test_a_misspelt_variable_stops_the_start_and_the_right_one_is_named(
    name: str, meant: str
) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        read(**{name: "1"})
    assert name in str(refused.value)
    assert meant in str(refused.value)


def test_variables_of_other_services_are_not_ours_to_judge() -> None:
    assert read(CELLNODE_GATEWAY_ANYTHING="1", CELLNODE_PROVISIONER_X="2") == read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELLNODE_PARTITIONS", "0"),
        ("CELLNODE_PARTITIONS", "many"),
        ("CELLNODE_HEALTH_LISTEN", "somewhere"),
        ("REDIS_URL", "http://127.0.0.1"),
        ("KAFKA_SESSION_TIMEOUT_MS", "1"),
        ("CELLNODE_HEALTH_PROBES_MAX", "65"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        read(**{name: value})
    assert f"{name}={value}: " in str(refused.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        read().cellnode_partitions = 8


def test_several_heartbeats_fit_into_a_session() -> None:
    assert read(KAFKA_SESSION_TIMEOUT_MS="3000").kafka_heartbeat_ms == 1_000
    assert read().kafka_heartbeat_ms == 3_000
