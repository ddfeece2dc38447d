"""Logins and certificates in settings: whole, consistent, named in complaints, shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.chassis.settings import Settings, SettingsInvalid
from tests.certificates import Certificates, made_in

PREFIX = "CELLNODE_API_"
SECRET = "s3cret/with@signs"
SCRAM = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "api",
    "KAFKA_SASL_PASSWORD": SECRET,
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made_in(tmp_path_factory.mktemp("certificates"))


def read(**env: str) -> Settings:
    return Settings.from_env(PREFIX, env)


def refused(**env: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        read(**env)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_whole_login_is_taken_and_shown_nowhere() -> None:
    url = f"rediss://health:{SECRET}@redis:6380/0"
    settings = read(**SCRAM, REDIS_URL=url)
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == SECRET
    assert settings.redis_login.tls is not None
    for shown in (repr(settings), str(settings), repr(settings.redis_login)):
        assert SECRET not in shown


def test_a_password_is_read_from_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\nwhat else stands there\n")
    given = {**SCRAM, "KAFKA_SASL_PASSWORD": ""}
    settings = read(**given, KAFKA_SASL_PASSWORD_FILE=str(tmp_path / "password"))
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == SECRET


def test_what_a_compose_file_leaves_empty_is_not_given() -> None:
    assert read(**dict.fromkeys(SCRAM, ""), REDIS_PASSWORD="") == read()


@pytest.mark.parametrize("missing", ["MECHANISM", "USERNAME", "PASSWORD"])
def test_a_login_that_is_not_whole_stops_the_start(missing: str) -> None:
    name = f"KAFKA_SASL_{missing}"
    assert f"needs {name}; set it" in refused(**{**SCRAM, name: ""})


INCONSISTENT = [
    ({"KAFKA_SASL_USERNAME": "api"}, "KAFKA_SECURITY_PROTOCOL is PLAINTEXT; set that to SASL_SSL"),
    ({"KAFKA_SSL_CAFILE": "/ca"}, "KAFKA_SECURITY_PROTOCOL is PLAINTEXT; set that to SSL"),
    ({**SCRAM, "KAFKA_SSL_CAFILE": "/ca"}, "set that to SSL or SASL_SSL, or unset"),
    ({**SCRAM, "KAFKA_SASL_PASSWORD_FILE": "/password"}, "are both set; unset one of them"),
    ({"KAFKA_SECURITY_PROTOCOL": "SASL"}, "KAFKA_SECURITY_PROTOCOL=SASL: "),
    ({"KAFKA_SASL_PASWORD": SECRET}, "did you mean KAFKA_SASL_PASSWORD?"),
    ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEYFILE": "/key"}, "set KAFKA_SSL_CERTFILE"),
    ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/none"}, "KAFKA_SSL_CAFILE: /none"),
    ({"REDIS_SSL_CAFILE": "/ca"}, "REDIS_URL is no rediss:// URL; make it one"),
    ({"REDIS_USERNAME": "api"}, "set REDIS_PASSWORD, too"),
    ({"REDIS_PASSWORD": SECRET, "REDIS_URL": f"redis://:{SECRET}@h"}, "take that out of the URL"),
    ({"REDIS_PASSWORD_FILE": "/none"}, "REDIS_PASSWORD_FILE: /none cannot be read"),
    ({"REDIS_URL": f"http://api:{SECRET}@h:1"}, "REDIS_URL=http://h:1: "),
]


@pytest.mark.parametrize(("given", "said"), INCONSISTENT)
def test_what_does_not_fit_together_is_named_with_a_remedy(
    given: dict[str, str], said: str
) -> None:
    assert said in refused(**given)


def test_certificates_are_loaded_before_anything_is_connected_to(
    certificates: Certificates, tmp_path: Path
) -> None:
    server = certificates.server
    given = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": str(certificates.authority)}
    own = {"KAFKA_SSL_CERTFILE": str(server.certificate), "KAFKA_SSL_KEYFILE": str(server.key)}
    assert read(**given, **own).kafka_tls is not None
    (tmp_path / "half").write_text(server.certificate.read_text()[:200])
    complaint = refused(**given, **{**own, "KAFKA_SSL_CERTFILE": str(tmp_path / "half")})
    assert "KAFKA_SSL_CERTFILE or KEYFILE" in complaint


def test_hostnames_are_checked_unless_one_says_otherwise() -> None:
    tls = read(KAFKA_SECURITY_PROTOCOL="SSL").kafka_tls
    unchecked = read(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CHECK_HOSTNAME="false").kafka_tls
    assert tls is not None
    assert unchecked is not None
    assert tls.context().check_hostname
    assert not unchecked.context().check_hostname
