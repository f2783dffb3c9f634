"""A provider reached both ways: over real HTTP, and through its transport."""

import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey


@pytest.fixture(scope="session")
def es256() -> SigningKey:
    """Return a key that is quick to make and to use."""
    return SigningKey.generate("ES256", kid="first")


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(es256: SigningKey, clock: FakeClock) -> FakeIssuer:
    """Return a provider that does not serve yet."""
    return FakeIssuer(keys=[es256], clock=clock)


@pytest.fixture
async def over_http(issuer: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the provider, which serves on loopback."""
    # A context of its own saves each client from loading the machine's certificates.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        with issuer:
            yield client


@pytest.fixture
async def over_transport(issuer: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the provider's transport."""
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        yield client


@pytest.fixture(params=["over_http", "over_transport"])
def client(request: pytest.FixtureRequest) -> httpx.AsyncClient:
    """Return a client either way, for what must be the same on both."""
    client: httpx.AsyncClient = request.getfixturevalue(request.param)
    return client
