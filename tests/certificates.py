"""Real certificates from the `openssl` command: an authority, and what it has signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "2"
HOSTS = "subjectAltName=DNS:localhost,IP:127.0.0.1"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, both PEM."""

    certificate: Path
    key: Path

    def in_one(self) -> Path:
        """Key and chain in one file, as Apache Kafka wants its keystore."""
        both = self.certificate.with_suffix(".both.pem")
        both.write_text(self.key.read_text() + self.certificate.read_text())
        return both


@dataclass(frozen=True)
class Certificates:
    """All of one authority."""

    authority: Path
    server: Signed  # For localhost and 127.0.0.1.
    client: Signed
    stranger: Signed  # Another authority, which has signed nothing of this.


def made_in(folder: Path) -> Certificates:
    authority = _authority(folder, "authority")
    server, client = (_signed(folder, name, authority) for name in ("server", "client"))
    return Certificates(authority.certificate, server, client, _authority(folder, "stranger"))


def _authority(folder: Path, name: str) -> Signed:
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *_KEY, *_written(made), "-subj", f"/CN={name}", "-days", DAYS)
    return made


def _signed(folder: Path, name: str, authority: Signed) -> Signed:
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    by = ("-CA", str(authority.certificate), "-CAkey", str(authority.key))
    names = ("-subj", "/CN=localhost", "-addext", HOSTS)
    leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
    _openssl("req", "-x509", *_KEY, *_written(made), *names, *leaf, *by, "-days", DAYS)
    return made


def _written(made: Signed) -> tuple[str, ...]:
    return ("-keyout", str(made.key), "-out", str(made.certificate))


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)
