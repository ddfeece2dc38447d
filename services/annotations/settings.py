"""What annotations can be told, as CELLNODE_ANNOTATIONS_<FIELD>; every limit has a ceiling."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from typing_extensions import Self

from services.chassis.settings import Settings

TOKEN_BYTES_MAX = 4096


class AnnotationsSettings(Settings):
    """Frozen, complete; the token is in no log, no repr and no error."""

    grafana_url: str = Field(default="", pattern=r"^(https?://\S+)?$")  # Needed.
    grafana_token: SecretStr | None = None  # Of a service account that may write annotations.
    grafana_token_file: Path | None = None  # Instead of the token itself.
    tag: str = Field(default="cellnode", pattern=r"^[\w-]{1,64}$")  # Of all that is written.
    timeout_seconds: float = Field(default=10.0, gt=0, le=120)  # For one answer of Grafana.
    retry_seconds_max: float = Field(default=30.0, gt=0, le=3_600)  # Between tries, at most.
    age_seconds_max: float = Field(default=86_400.0, gt=0, le=10**8)  # Older is skipped, counted.
    first_seconds: float = Field(default=0.0, ge=0, le=10**8)  # How far back the first start goes.

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.grafana_url:
            raise ValueError("CELLNODE_ANNOTATIONS_GRAFANA_URL is not set; name Grafana's address")
        if "@" in self.grafana_url:
            raise ValueError("CELLNODE_ANNOTATIONS_GRAFANA_URL has a login; give a token instead")
        if self.grafana_token and self.grafana_token_file:
            name = "CELLNODE_ANNOTATIONS_GRAFANA_TOKEN"
            raise ValueError(f"{name} and {name}_FILE are both set; unset one of them")
        if not self.token():
            raise ValueError(
                "CELLNODE_ANNOTATIONS_GRAFANA_TOKEN is not set; make a service account in Grafana "
                "with the role Editor, and give its token, or a file with it, by ..._TOKEN_FILE"
            )
        return self

    def token(self) -> str:
        """The first line of the file, where there is one: editors end files with a newline."""
        if self.grafana_token_file is None:
            return self.grafana_token.get_secret_value() if self.grafana_token else ""
        try:
            with self.grafana_token_file.open("rb") as opened:
                content = opened.read(TOKEN_BYTES_MAX).decode()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            name = "CELLNODE_ANNOTATIONS_GRAFANA_TOKEN_FILE"
            raise ValueError(
                f"{name}: {self.grafana_token_file} cannot be read ({why}); name another file"
            ) from None
        return content.partition("\n")[0].strip()
