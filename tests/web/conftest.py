"""A provider, a verifier of its tokens, and a client that goes straight to the loopback."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from auth_jwks import JWKS
from auth_jwks.testing import FakeIssuer
from tests.web.status_table import verifying


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach the loopback without a proxy, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider that serves."""
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


@pytest.fixture
async def jwks(issuer: FakeIssuer) -> AsyncIterator[JWKS]:
    """Return a verifier of the provider's tokens."""
    async with verifying(issuer) as jwks:
        yield jwks


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that goes straight to the loopback."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client
