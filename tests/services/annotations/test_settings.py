"""What annotations are told: whole, or the start stops; the token is never shown."""

from pathlib import Path

import pytest

from services.annotations.settings import AnnotationsSettings
from services.chassis.settings import SettingsInvalid

PREFIX = "CELLNODE_ANNOTATIONS_"
URL = {f"{PREFIX}GRAFANA_URL": "http://127.0.0.1:3000"}
TOKEN = {f"{PREFIX}GRAFANA_TOKEN": "glsa_secret"}


def told(env: dict[str, str]) -> AnnotationsSettings:
    return AnnotationsSettings.from_env(PREFIX, env)


def test_a_token_may_stand_in_a_file_and_its_newline_is_no_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("glsa_secret\n")

    assert told({**URL, f"{PREFIX}GRAFANA_TOKEN_FILE": str(file)}).token() == "glsa_secret"
    assert told({**URL, **TOKEN}).token() == "glsa_secret"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (TOKEN, "GRAFANA_URL is not set"),
        (URL, "GRAFANA_TOKEN is not set"),
        ({**TOKEN, f"{PREFIX}GRAFANA_URL": "http://u:glsa_secret@g"}, "has a login"),
        ({**URL, **TOKEN, f"{PREFIX}GRAFANA_TOKEN_FILE": "x"}, "unset one of them"),
        ({**URL, f"{PREFIX}GRAFANA_TOKEN_FILE": "/nowhere"}, "/nowhere cannot be read"),
        ({**URL, **TOKEN, f"{PREFIX}AGE_SECONDS_MAX": "0"}, "AGE_SECONDS_MAX"),
        ({**URL, **TOKEN, f"{PREFIX}TOKN": "1"}, "did you mean"),
    ],
)
def test_what_does_not_fit_stops_the_start_without_showing_the_token(
    env: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsInvalid, match=said) as refused:
        told(env)

    assert "glsa_secret" not in str(refused.value)


def test_the_token_is_in_no_repr() -> None:
    assert "glsa_secret" not in repr(told({**URL, **TOKEN}))
