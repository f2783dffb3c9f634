"""What the tests of `Issuers` run on: a clock, two providers, and verifiers of their tokens."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from auth_jwks import JWKS, Issuers
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.several_issuers.pair import Make, providers


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def pair(clock: FakeClock) -> tuple[FakeIssuer, FakeIssuer]:
    """Return two providers, which publish different keys under one `kid`."""
    return providers(clock)


@pytest.fixture
async def make(clock: FakeClock) -> AsyncIterator[Make]:
    """Return what makes a verifier of one provider, which is closed with the test."""
    made: list[JWKS] = []
    clients: list[httpx.AsyncClient] = []

    def make(provider: FakeIssuer, *, kind: type[JWKS] = JWKS, **options: Any) -> JWKS:
        clients.append(httpx.AsyncClient(transport=provider.transport()))
        defaults: dict[str, Any] = {
            "discovery_url": provider.discovery_url,
            "issuer": provider.issuer,
            "retries": 0,
            "http_client": clients[-1],
            "clock": clock,
        }
        made.append(kind(**(defaults | options)))
        return made[-1]

    yield make
    for jwks in made:
        await jwks.close()
    for client in clients:
        await client.aclose()


@pytest.fixture
def issuers(make: Make, pair: tuple[FakeIssuer, FakeIssuer]) -> Issuers:
    """Return a verifier of the tokens of both."""
    return Issuers(*map(make, pair))
