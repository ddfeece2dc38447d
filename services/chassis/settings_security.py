"""Who we are to Kafka and Redis and whom we trust, checked before anything is connected to."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from typing_extensions import Self

# Misspelt variables that begin so stop the start; others may be another program's.
SECURITY_PREFIXES = ("KAFKA_SASL_", "KAFKA_SSL_", "KAFKA_SECURITY_", "REDIS_SSL_")
_MECHANISMS = "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
_PASSWORDS = ("kafka_sasl_password", "redis_password")  # Each may stand in a file instead.
_PASSWORD_BYTES_MAX = 4096
_CAUSES_MAX = 8  # Of one error that are looked at.


@dataclass(frozen=True)
class Tls:
    """Whom we trust, and the certificate that we show; without a CA file: as the system does."""

    prefix: str  # Of the variables that say so.
    cafile: Path | None
    certfile: Path | None
    keyfile: Path | None
    key_password: SecretStr | None
    checks_hostname: bool

    def context(self) -> ssl.SSLContext:
        """ValueError names the variable whose file is of no use."""
        try:
            made = ssl.create_default_context(cafile=self.cafile)
        except OSError as error:
            raise ValueError(self._useless("CAFILE", self.cafile, error)) from None
        made.check_hostname = self.checks_hostname
        if self.certfile is not None:
            secret = self.key_password.get_secret_value() if self.key_password else ""
            try:  # With a word, OpenSSL never asks on a terminal.
                made.load_cert_chain(self.certfile, self.keyfile, lambda: secret)
            except (OSError, ValueError) as error:
                both = self.certfile if self.keyfile is None else f"{self.certfile}, {self.keyfile}"
                raise ValueError(self._useless("CERTFILE or KEYFILE", both, error)) from None
        return made

    def _useless(self, what: str, file: object, error: Exception) -> str:
        why = getattr(error, "strerror", None) or str(error)
        return f"{self.prefix}{what}: {file} cannot be used ({why}); name a PEM file that is whole"


def refused_certificate(error: BaseException | None) -> str:
    """The alert by which a server refuses our certificate, or that we show none; else empty."""
    for _ in range(_CAUSES_MAX):
        if error is None:
            break
        reason = str(error.reason) if isinstance(error, ssl.SSLError) else ""
        if "_ALERT_" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
            return reason
        error = error.__cause__ or error.__context__
    return ""


@dataclass(frozen=True)
class RedisLogin:
    """Who we are to Redis, where its URL does not say it."""

    username: str | None = None
    password: SecretStr | None = None
    tls: Tls | None = None


class SecuritySettings(BaseModel):
    """Shared by every service; secrets are in no log, no repr and no error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_sasl_password_file: Path | None = None  # Instead of the password itself.
    kafka_ssl_cafile: Path | None = None  # PEM; without it the system's authorities are trusted.
    kafka_ssl_certfile: Path | None = None  # PEM; shown to brokers that ask for one.
    kafka_ssl_keyfile: Path | None = None  # PEM; without it the key stands in the CERTFILE.
    kafka_ssl_key_password: SecretStr | None = None
    kafka_ssl_check_hostname: bool = True
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://", repr=False
    )  # `rediss` is TLS; user and password may stand in it.
    redis_username: str | None = None  # Of the ACL; without one: `default`.
    redis_password: SecretStr | None = None
    redis_password_file: Path | None = None  # Instead of the password itself.
    redis_ssl_cafile: Path | None = None  # As for Kafka, for a rediss:// URL.
    redis_ssl_certfile: Path | None = None
    redis_ssl_keyfile: Path | None = None
    redis_ssl_check_hostname: bool = True

    @model_validator(mode="before")
    @classmethod
    def _passwords_from_files(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        files = {name: given[f"{name}_file"] for name in _PASSWORDS if given.get(f"{name}_file")}
        for name in files.keys() & given.keys():
            variable = name.upper()
            raise ValueError(f"{variable} and {variable}_FILE are both set; unset one of them")
        read = {name: _password_in(name, Path(file)) for name, file in files.items()}
        return {**given, **read}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if complaint := self._kafka_complaint() or self._redis_complaint():
            raise ValueError(complaint)
        for tls in (self.kafka_tls, self.redis_login.tls):
            if tls is not None:
                tls.context()
        return self

    @property
    def kafka_is_sasl(self) -> bool:
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def kafka_tls(self) -> Tls | None:
        if not self.kafka_security_protocol.endswith("SSL"):
            return None
        return Tls(
            "KAFKA_SSL_",
            self.kafka_ssl_cafile,
            self.kafka_ssl_certfile,
            self.kafka_ssl_keyfile,
            self.kafka_ssl_key_password,
            self.kafka_ssl_check_hostname,
        )

    @property
    def redis_login(self) -> RedisLogin:
        tls = Tls(
            "REDIS_SSL_",
            self.redis_ssl_cafile,
            self.redis_ssl_certfile,
            self.redis_ssl_keyfile,
            None,
            self.redis_ssl_check_hostname,
        )
        is_tls = self.redis_url.startswith("rediss:")
        return RedisLogin(self.redis_username, self.redis_password, tls if is_tls else None)

    def _kafka_complaint(self) -> str:
        """One sentence: the variable, what is wrong, what to do; empty if all fits."""
        protocol = self.kafka_security_protocol
        sasl = self._given("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
        if self.kafka_is_sasl and (missing := [name for name, value in sasl.items() if not value]):
            how = f" to {_MECHANISMS}" if "MECHANISM" in missing[0] else ""
            return f"KAFKA_SECURITY_PROTOCOL is {protocol}, which needs {missing[0]}; set it{how}"
        files = self._given("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
        for needed, values in (("SASL_SSL", sasl), ("SSL or SASL_SSL", files)):
            is_used = self.kafka_is_sasl if values is sasl else self.kafka_tls
            if not is_used and (vain := [name for name, value in values.items() if value]):
                remedy = f"set that to {needed}, or unset {vain[0]}"
                return f"{vain[0]} is set, but KAFKA_SECURITY_PROTOCOL is {protocol}; {remedy}"
        return _lonely_key(files)

    def _redis_complaint(self) -> str:
        files = self._given("redis_ssl_cafile", "redis_ssl_certfile", "redis_ssl_keyfile")
        vain = [name for name, value in files.items() if value]
        if vain and self.redis_login.tls is None:
            return f"{vain[0]} is set, but REDIS_URL is no rediss:// URL; make it one"
        if self.redis_username and not self.redis_password:
            return "REDIS_USERNAME is set without a password; set REDIS_PASSWORD, too"
        if self.redis_password and without_login(self.redis_url) != self.redis_url:
            return "REDIS_PASSWORD is set and REDIS_URL has a login, too; take that out of the URL"
        return _lonely_key(files)

    def _given(self, *names: str) -> dict[str, object]:
        return {name.upper(): getattr(self, name) for name in names}


def without_login(url: str) -> str:
    """A URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    return url if rest.startswith("/") else f"{scheme}://{rest.rpartition('@')[2]}"


def _lonely_key(files: Mapping[str, object]) -> str:
    cert, key = (name for name in files if not name.endswith("CAFILE"))
    if files[key] and not files[cert]:
        return f"{key} is set without {cert}; set {cert}, too"
    return ""


def _password_in(name: str, file: Path) -> str:
    """Its first line: editors end files with a newline, which is no part of the password."""
    variable = f"{name.upper()}_FILE"
    try:
        with file.open("rb") as opened:
            content = opened.read(_PASSWORD_BYTES_MAX).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"{variable}: {file} cannot be read ({why}); name another file") from None
    if not (password := content.partition("\n")[0].rstrip("\r")):
        raise ValueError(f"{variable}: {file} is empty; write the password into its first line")
    return password
