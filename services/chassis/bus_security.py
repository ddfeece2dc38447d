"""How clients of Kafka are secured, and why it refuses us, in words with a remedy."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from services.chassis.settings import Settings
from services.chassis.settings_security import refused_certificate

ASK_SECONDS_MAX = 5.0
_SASL = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}
_LOGIN = (AuthenticationFailedError, SaslAuthenticationFailed)
_MECHANISM = (UnsupportedSaslMechanismError, IllegalSaslStateError)
_RIGHTS = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
)


def client_options(settings: Settings) -> dict[str, Any]:
    """Where Kafka is and who we are, as every client of aiokafka takes it."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        **_connection_options(settings),
    }


def _connection_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_tls is not None:
        options["ssl_context"] = settings.kafka_tls.context()
    if settings.kafka_is_sasl:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = _password(settings)
    return options


def broker_security(settings: Settings) -> BaseSecurity:
    """The same in FastStream's words."""
    tls = settings.kafka_tls
    context = None if tls is None else tls.context()
    if not settings.kafka_is_sasl:
        return BaseSecurity(context)
    kind = _SASL[settings.kafka_sasl_mechanism or ""]
    return kind(settings.kafka_sasl_username or "", _password(settings), context)


def refusal(error: BaseException) -> str:
    """What a person can do about it; empty unless a login, a certificate or a right is missing."""
    if isinstance(error, _LOGIN):
        what, remedy = "the login", "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and the mechanism"
        return f"Kafka refuses {what}: check {remedy}"
    if isinstance(error, _MECHANISM):
        return "Kafka does not take this KAFKA_SASL_MECHANISM: set one that its listener enables"
    if isinstance(error, _RIGHTS):
        kind = type(error).__name__.removesuffix("AuthorizationFailedError").lower()
        asked = " ".join([kind, *(str(one) for one in error.args)])
        return f"Kafka's ACLs do not allow us the {asked}: see deploy/kafka/acls.txt"
    if alert := refused_certificate(error):
        remedy = "KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE"
        return f"Kafka does not take the certificate that we show ({alert}): check {remedy}"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        return f"Kafka's certificate is not trusted ({why}): check KAFKA_SSL_CAFILE and the host"
    if isinstance(error, ssl.SSLError):
        return f"TLS with Kafka fails ({error.reason}): check KAFKA_SECURITY_PROTOCOL and the port"
    return ""


async def why_not(settings: Settings) -> str:
    """Connect once more and look: the library's own words for it are in its log only."""
    options = _connection_options(settings)
    said = ""
    for host, port, _ in collect_hosts(settings.kafka_bootstrap_servers, randomize=False):
        try:
            connecting = create_conn(host, port, client_id="cellnode-look", **options)
            connection = await asyncio.wait_for(connecting, ASK_SECONDS_MAX)
            try:  # A listener that wants a login lets in who has none, to this point.
                await asyncio.wait_for(connection.send(MetadataRequest([])), ASK_SECONDS_MAX)
            finally:
                connection.close()
        except (OSError, KafkaError, asyncio.TimeoutError) as error:
            said = said or refusal(error) or _unreached(error, f"{host}:{port}")
        else:
            return ""
    return said


def _unreached(error: BaseException, where: str) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"Kafka at {where} does not answer within {ASK_SECONDS_MAX:g} s"
    if isinstance(error, KafkaConnectionError):
        return f"Kafka at {where} ends the connection: check KAFKA_SECURITY_PROTOCOL and the port"
    return f"Kafka at {where} is not reached ({error})"


def _password(settings: Settings) -> str:
    secret = settings.kafka_sasl_password
    return "" if secret is None else secret.get_secret_value()
