"""What the tests of a source run on: a provider, a clock, an authority to trust."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from auth_jwks.testing import FakeIssuer, SigningKey
from tests.provider.source.asking import SkippingClock


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """Return a key that is quick to make."""
    return SigningKey.generate("ES256", kid="first")


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return the only authority that a client of our own trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where its certificate is."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def _environment(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def provider(key: SigningKey) -> Iterator[FakeIssuer]:
    """Return a provider that serves on loopback."""
    with FakeIssuer(keys=[key]) as issuer:
        yield issuer


@pytest.fixture
def encrypted(ca: trustme.CA, key: SigningKey) -> Iterator[FakeIssuer]:
    """Return one that serves by https, with a certificate that is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with FakeIssuer(keys=[key], ssl_context=context) as issuer:
        yield issuer


@pytest.fixture
def clock() -> SkippingClock:
    """Return a clock that skips pauses."""
    return SkippingClock()
