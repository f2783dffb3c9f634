"""A command run in this process, as at a terminal of 80 columns that nobody looks at."""

import io
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from auth_jwks.cli import main
from auth_jwks.testing import FakeIssuer, SigningKey

VARIABLES = (
    "AUTH_JWKS_STORE_URL", "AUTH_JWKS_INTEGRITY_KEY", "NO_COLOR", "FORCE_COLOR", "HTTP_PROXY",
    "SSL_CERT_FILE",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the payload."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded

    @property
    def words(self) -> str:
        """Return all that was written, in one line."""
        return " ".join((self.out + self.err).split())


Command = Callable[..., Run]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing in the environment that a command would heed."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="session")
def command() -> Command:
    """Return what runs a command."""

    def run(*argv: str, stdin: str = "") -> Run:
        out, err = io.StringIO(), io.StringIO()
        status = main(argv, io.StringIO(stdin), out, err)
        return Run(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """Return the provider's key."""
    return SigningKey.generate("ES256", "k1")


@pytest.fixture
def provider(key: SigningKey) -> Iterator[FakeIssuer]:
    """Return a provider by plain HTTP."""
    with FakeIssuer(keys=[key]) as provider:
        yield provider


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return a CA that no machine trusts."""
    return trustme.CA()


@pytest.fixture
def secure(
    key: SigningKey, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeIssuer]:
    """Return a provider by HTTPS, which is trusted here."""
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with FakeIssuer(keys=[key], ssl_context=context(ca)) as provider:
        yield provider


def context(ca: trustme.CA, days: float = 99) -> ssl.SSLContext:
    """Return the TLS of a server at loopback, whose certificate ends in so many days."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    until = datetime.now(UTC) + timedelta(days=days)
    ca.issue_cert("127.0.0.1", not_after=until).configure_cert(made)
    return made
