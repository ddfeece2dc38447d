"""The real servers as production has them: TLS both ways, a login and only its rights for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.certificates import Certificates
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.process import LOOPBACK
from tests.servers.redis_server import RedisServer
from tests.sources import ROOT

ACLS = ROOT / "deploy" / "kafka" / "acls.txt"
USERS_ACL = ROOT / "deploy" / "redis" / "users.acl"
ADMIN = "admin"
STRANGER = "stranger"  # Known, and without any right.
USERS = (ADMIN, STRANGER, "provisioner", "health", "api")
SCRAM = "SCRAM-SHA-512"
ACL_SECONDS_MAX = 20.0
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


def password_of(user: str) -> str:
    return f"{user}-s3cret"


@dataclass(frozen=True)
class Right:
    """One line of the file of ACLs."""

    user: str
    operations: tuple[str, ...]
    kind: str
    name: str
    pattern: str

    def bindings(self, kind: type[Any] = AclBinding) -> Iterator[Any]:
        for operation in self.operations:
            named = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()
            yield kind(
                ResourceType[self.kind.upper()],
                self.name,
                ResourcePatternType[self.pattern.upper()],
                f"User:{self.user}",
                "*",
                AclOperation[named],
                AclPermissionType.ALLOW,
            )


def rights() -> list[Right]:
    """As documented."""
    lines = [line.split() for line in ACLS.read_text().splitlines()]
    words = [line for line in lines if line and not line[0].startswith("#")]
    return [Right(user, tuple(operations.split(",")), *where) for user, operations, *where in words]


class SecuredKafka(ApacheKafka):
    """SASL_SSL with SCRAM for everybody; who has no ACL may do nothing."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        scram = [
            word
            for user in USERS
            for word in ("--add-scram", f"{SCRAM}=[name={user},password={password_of(user)}]")
        ]
        super().__init__(self._secured(), protocol="SASL_SSL", format_arguments=scram)

    def _secured(self) -> dict[str, str]:
        listener = f"listener.name.sasl_ssl.{SCRAM.lower()}.sasl.jaas.config"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates.server.in_one()),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.authority),
            "listener.name.sasl_ssl.ssl.client.auth": "required",  # Else SASL_SSL asks for none.
            "sasl.enabled.mechanisms": SCRAM,
            "sasl.mechanism.inter.broker.protocol": SCRAM,
            listener: f'{_LOGIN} required username="{ADMIN}" password="{password_of(ADMIN)}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
        }

    def settings_of(self, user: str) -> dict[str, str]:
        """What a service of this name is told."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": SCRAM,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": password_of(user),
            "KAFKA_SSL_CAFILE": str(self.certificates.authority),
            "KAFKA_SSL_CERTFILE": str(self.certificates.client.certificate),
            "KAFKA_SSL_KEYFILE": str(self.certificates.client.key),
        }

    def allow(self, *given: Right) -> None:
        bindings = [one for right in given for one in right.bindings()]
        asked = self._admin()  # Nothing comes of it once the client is gone.
        for future in asked.create_acls(bindings).values():
            future.result(ACL_SECONDS_MAX)

    def forbid(self, *given: Right) -> None:
        bindings = [one for right in given for one in right.bindings(AclBindingFilter)]
        asked = self._admin()
        for future in asked.delete_acls(bindings).values():
            future.result(ACL_SECONDS_MAX)

    def _admin(self) -> AdminClient:
        return AdminClient(self.librdkafka_options(ADMIN))

    def librdkafka_options(self, user: str) -> dict[str, Any]:
        """Another client library, so that not both sides are ours."""
        return {
            "bootstrap.servers": self.address,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": SCRAM,
            "sasl.username": user,
            "sasl.password": password_of(user),
            "ssl.ca.location": str(self.certificates.authority),
            "ssl.certificate.location": str(self.certificates.client.certificate),
            "ssl.key.location": str(self.certificates.client.key),
        }


class SecuredRedis(RedisServer):
    """TLS only, and the users of `deploy/redis/users.acl` with their sample passwords."""

    def __init__(self, certificates: Certificates) -> None:
        server = certificates.server
        self._certificates = certificates
        files = {
            "--tls-cert-file": server.certificate,
            "--tls-key-file": server.key,
            "--tls-ca-cert-file": certificates.authority,
            "--aclfile": USERS_ACL,
        }
        words = [word for name, file in files.items() for word in (name, str(file))]
        super().__init__([*words, "--tls-auth-clients", "yes"])

    def command(self) -> list[str]:
        return [*super().command(), "--port", "0", "--tls-port", str(self.port)]

    @property
    def url(self) -> str:
        return f"rediss://{LOOPBACK}:{self.port}/0"

    def settings_of(self, user: str) -> dict[str, str]:
        return {
            "REDIS_URL": self.url,
            "REDIS_USERNAME": user,
            "REDIS_PASSWORD": redis_passwords()[user],
            "REDIS_SSL_CAFILE": str(self._certificates.authority),
            "REDIS_SSL_CERTFILE": str(self._certificates.client.certificate),
            "REDIS_SSL_KEYFILE": str(self._certificates.client.key),
        }


def redis_passwords() -> Mapping[str, str]:
    """The sample ones of the documented file."""
    found = re.findall(r"^user (\S+) on >(\S+)", USERS_ACL.read_text(), re.MULTILINE)
    return dict(found)
