"""The login and the certificates in our environment, for a Kafka and a Redis that run elsewhere."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cellnode.launcher.places import UpFailed

_TLS = ("SSL_CAFILE", "SSL_CERTFILE", "SSL_KEYFILE", "SSL_CHECK_HOSTNAME")
KAFKA = (
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SASL_PASSWORD_FILE",
    "KAFKA_SSL_KEY_PASSWORD",
    *(f"KAFKA_{name}" for name in _TLS),
)
REDIS = (
    "REDIS_USERNAME",
    "REDIS_PASSWORD",
    "REDIS_PASSWORD_FILE",
    *(f"REDIS_{name}" for name in _TLS),
)

GRAFANA_TOKEN_FILE = "CELLNODE_ANNOTATIONS_GRAFANA_TOKEN_FILE"


def handed_on(*, has_kafka: bool, has_redis: bool) -> dict[str, str]:
    """What services are told: nothing for what is started here, and files by their whole path."""
    vain = dict.fromkeys((*(() if has_kafka else KAFKA), *(() if has_redis else REDIS)), "")
    files = {
        name: str(Path(value).absolute())
        for name in (*KAFKA, *REDIS, GRAFANA_TOKEN_FILE)
        if name.endswith("FILE") and (value := os.environ.get(name))
    }
    return files | vain


def kafka_tls() -> ssl.SSLContext | None:
    """None where the connection is not encrypted."""
    protocol = os.environ.get("KAFKA_SECURITY_PROTOCOL", "")
    return tls("KAFKA") if protocol.endswith("SSL") else None


def tls(prefix: str) -> ssl.SSLContext:
    """UpFailed names the variables when their files are of no use."""
    cafile, certfile, keyfile = (
        os.environ.get(f"{prefix}_SSL_{name}") or None for name in ("CAFILE", "CERTFILE", "KEYFILE")
    )
    secret = os.environ.get(f"{prefix}_SSL_KEY_PASSWORD", "")
    try:
        context = ssl.create_default_context(cafile=cafile)
        if certfile:
            context.load_cert_chain(certfile, keyfile, lambda: secret)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UpFailed(
            f"a file that {prefix}_SSL_CAFILE, _CERTFILE or _KEYFILE names is of no use: {why}"
        ) from None
    checks = os.environ.get(f"{prefix}_SSL_CHECK_HOSTNAME") or "true"
    context.check_hostname = checks.lower() in ("true", "1", "yes", "on", "t", "y")
    return context


def redis_login() -> list[str]:
    """User and password as AUTH takes them; empty without a password."""
    password = os.environ.get("REDIS_PASSWORD", "")
    if file := os.environ.get("REDIS_PASSWORD_FILE"):
        try:
            password = Path(file).read_text().partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise UpFailed(f"REDIS_PASSWORD_FILE: {file} cannot be read: {error}") from None
    user = os.environ.get("REDIS_USERNAME", "")
    return [*([user] if user else []), password] if password else []
